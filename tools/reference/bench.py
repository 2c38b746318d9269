"""Times Diffusers on the CPU with a checkpoint, in a process of its own, and prints the result as JSON.

    python bench.py CHECKPOINT --size 512x512 --steps 4 --threads 2 --dtype bfloat16

"load", "encode", "step" and "decode" are lists of seconds. "whole" is the time of the process from its start to its
end, including imports and loading. "resident" is the peak of its resident memory in bytes, as the system reports it.
"anonymous" is the peak of the memory that is not mapped from files, sampled ten times a second (Linux only).
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time


def measure(args):
    """Runs the pipeline and prints the seconds of its stages."""
    import diffusers
    import torch
    from diffusers import Flux2KleinPipeline

    torch.set_num_threads(args.threads)
    seconds = {}

    def timed(owner, method, name):
        original = getattr(owner, method)

        def wrapped(*a, **k):
            start = time.perf_counter()
            result = original(*a, **k)
            seconds.setdefault(name, []).append(time.perf_counter() - start)
            return result

        setattr(owner, method, wrapped)

    start = time.perf_counter()
    pipe = Flux2KleinPipeline.from_pretrained(args.checkpoint, dtype=getattr(torch, args.dtype), local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    seconds["load"] = [time.perf_counter() - start]
    timed(pipe, "encode_prompt", "encode")
    timed(pipe.transformer, "forward", "step")
    timed(pipe.vae, "decode", "decode")
    width, height = args.size
    generator = torch.Generator("cpu").manual_seed(42)
    picture = pipe(prompt=args.prompt, width=width, height=height, num_inference_steps=args.steps, guidance_scale=1.0,
                   generator=generator).images[0]
    if args.output:
        picture.save(args.output)
    versions = {"diffusers": diffusers.__version__, "torch": torch.__version__.split("+")[0], "dtype": args.dtype}
    json.dump(versions | seconds, sys.stdout)


def watch(process, peak):
    """Stores the largest anonymous memory of a running process, in bytes, in peak[0]."""
    status = pathlib.Path(f"/proc/{process.pid}/status")
    while process.returncode is None:
        try:
            found = re.search(r"RssAnon:\s+(\d+) kB", status.read_text())
        except OSError:
            return
        if found:
            peak[0] = max(peak[0], int(found[1]) * 1024)
        time.sleep(0.1)


def size(text):
    width, height = text.split("x")
    return int(width), int(height)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("--size", type=size, default=(256, 256))
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--prompt", default="a red fox in the snow")
    parser.add_argument("--output", help="write the picture to this file")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        return measure(args)

    start = time.perf_counter()
    threads = {name: str(args.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    command = [sys.executable, *sys.argv, "--measure"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | threads)
    peak = [0]
    watcher = threading.Thread(target=watch, args=(process, peak), daemon=True)
    watcher.start()
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    whole = time.perf_counter() - start
    watcher.join()
    if process.returncode != 0:
        sys.exit(f"bench: the pipeline ended with status {process.returncode}")

    measured = json.loads(output)
    measured |= {"whole": whole, "resident": usage.ru_maxrss * 1024, "anonymous": peak[0]}
    json.dump(measured, sys.stdout)
    print()


if __name__ == "__main__":
    main()
