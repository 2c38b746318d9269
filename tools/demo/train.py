"""Makes the demo model from nothing: runs all stages in order. Each of them resumes an earlier run.

    python train.py STATE OUT [--ranks 2] [--first 0] [--shards 28] [--steps 6200] [--more 1400] [--init FOLDER]

The text encoder and the autoencoder train at the same time. The drawings are encoded once: first by the process that
becomes free when the autoencoder is finished, then by all. The transformer trains on the latents. OUT becomes the
Diffusers folder. With --init, the autoencoder and the text encoder are taken from a finished model, and its transformer
is trained for --more steps only.
"""

import argparse
import os
import pathlib
import subprocess
import sys

import run

HERE = pathlib.Path(__file__).parent


def main():
    args = argparse.ArgumentParser()
    args.add_argument("state", type=pathlib.Path)
    args.add_argument("out")
    args.add_argument("--ranks", type=int, default=run.RANKS)
    args.add_argument("--first", type=int, default=0,
        help="the number of the first shard; other numbers give other drawings")
    args.add_argument("--shards", type=int, default=28)
    args.add_argument("--steps", type=int, default=6200, help="steps of the transformer")
    args.add_argument("--more", type=int, default=1400, help="further steps at half the rate, see flow.py")
    args.add_argument("--init")
    args = args.parse_args()
    args.state.mkdir(parents=True, exist_ok=True)
    # Waiting threads sleep: if the machine does other work, spinning threads cost more than they gain.
    environment = os.environ | {"OMP_WAIT_POLICY": "passive",
        "KLEINBILD_THREADS": os.environ.get("KLEINBILD_THREADS", "1")}

    started = []

    def start(script, *arguments):
        started.append(subprocess.Popen([sys.executable, str(HERE / script), str(args.state), *map(str, arguments)],
            env=environment))
        return started[-1]

    def finish(*running):
        if any([r.wait() for r in running]):
            for r in started:
                r.terminate()
            sys.exit(f"train: {[r.args for r in running if r.returncode]} failed")

    def made(part):
        return (args.state / part / "config.json").exists()

    def spread(what, folder):
        """Makes the shards that are missing in folder, on all cores."""
        missing = [n for n in range(args.first, args.first + args.shards) if not (folder / f"{n:03}.pt").exists()]
        cores = min(os.cpu_count(), len(missing))
        cuts = [len(missing) * r // cores for r in range(cores + 1)] if missing else []
        parts = [(missing[a], missing[b - 1] + 1 - missing[a]) for a, b in zip(cuts, cuts[1:])]
        finish(*[start("dataset.py", what, first, count) for first, count in parts])

    if args.init:
        finish(start("export.py", "--from", args.init))
    elif not made("text_encoder"):
        reading = start("text.py", "--ranks", max(1, args.ranks - 1))
        if not made("vae"):
            finish(start("vae.py"))
        drawing = start("dataset.py", "pictures", args.first, args.shards)
        finish(reading)
        drawing.terminate()  # continued below on all cores
        drawing.wait()
    elif not made("vae"):
        finish(start("vae.py"))
    shards = args.state / "shards"
    spread("pictures", shards / "pictures")
    spread("rows", shards)
    steps = ("--steps", 0, "--init", args.init) if args.init else ("--steps", args.steps)
    finish(start("flow.py", "--ranks", args.ranks, *steps, "--more", args.more))
    finish(start("export.py", args.out))


if __name__ == "__main__":
    main()
