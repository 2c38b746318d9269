"""Compares Kleinbild on a graphics card with PyTorch and Diffusers, if they are installed, and writes a Markdown table.

    python3 bench.py --kit FOLDER --out results.md [--checkpoint FOLDER] [--device cuda|sim]

The FOLDER of --kit is what `make gpu-kit` builds. Kleinbild runs twice, and PyTorch after each run; the better time of
each counts. With --device sim nothing is measured: shapes are tiny, and the table only shows that everything runs.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

ROUNDS = 2
SECONDS = 0.3


def own(args, *command):
    """Runs the Go program. Returns its rows, and whether it succeeded."""
    run = subprocess.run([str(args.kit / "bench"), "-device", args.device, *command], stdout=subprocess.PIPE, text=True)
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    if run.returncode != 0:
        print(f"bench {' '.join(command)} failed", file=sys.stderr)
    return rows, run.returncode == 0


def timed(torch, launch):
    """Returns the mean seconds of a launch, over enough launches to take SECONDS together."""
    launch()
    torch.cuda.synchronize()
    count = 1
    while True:
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(count):
            launch()
        end.record()
        torch.cuda.synchronize()
        seconds = start.elapsed_time(end) / 1e3
        if seconds >= SECONDS:
            return seconds / count
        count *= 2


def peer(torch, row):
    """Returns the name and seconds of PyTorch's counterpart of a row of `bench kernels`, or None if it has none."""
    s, random = row["shape"], lambda *shape: torch.randn(*shape, device="cuda", dtype=torch.bfloat16) * 0.02
    functional = torch.nn.functional
    rows, cols, depth = s["rows"], s["cols"], s["depth"]
    if row["kind"] == "gemm":
        x, w = random(rows, depth), random(cols, depth)
        return "cuBLAS", timed(torch, lambda: functional.linear(x, w))
    if row["kind"] == "int8_gemm":
        x, w = (torch.randint(-127, 128, (n, depth), device="cuda", dtype=torch.int8) for n in (rows, cols))
        of_row, of_column = torch.rand(rows, 1, device="cuda"), torch.rand(cols, device="cuda")
        return "cuBLAS of int8, scales", timed(
            torch, lambda: (torch._int_mm(x, w.t()) * of_row * of_column).to(torch.bfloat16)
        )
    if row["kind"] == "silu":
        x, w = random(rows, depth), random(cols, depth)
        return "cuBLAS, SiLU", timed(torch, lambda: functional.silu(functional.linear(x, w)))
    if row["kind"] == "gemm_qk_norm_rope":
        x, w, gain = random(rows, depth), random(cols, depth), random(128)
        angles = torch.randn(rows, 1, 64, 2, device="cuda")
        rotation = torch.view_as_complex(angles)

        def qk_norm_rope():
            y = functional.rms_norm(functional.linear(x, w).view(rows, -1, 128), (128,), gain, 1e-6)
            y = torch.view_as_complex(y.float().unflatten(-1, (64, 2))) * rotation
            return torch.view_as_real(y).flatten(-2).to(torch.bfloat16)

        return "cuBLAS, RMSNorm, RoPE", timed(torch, qk_norm_rope)
    if row["kind"] == "swiglu":
        x, gate, up = random(rows, depth), random(cols, depth), random(cols, depth)
        return "cuBLAS twice, SiLU, product", timed(
            torch, lambda: functional.silu(functional.linear(x, gate)) * functional.linear(x, up)
        )
    if row["kind"] == "attention":
        width, grouped = cols // s["heads"], s["heads"] != s["kv_heads"]
        q = random(1, s["heads"], rows, width)
        k, v = random(1, s["kv_heads"], depth, width), random(1, s["kv_heads"], depth, width)
        return "SDPA", timed(
            torch,
            lambda: functional.scaled_dot_product_attention(q, k, v, is_causal=bool(s["causal"]), enable_gqa=grouped),
        )
    if row["kind"] in ("conv", "conv_norm") and not s["downsample"]:
        x = random(1, depth, s["height"], s["width"]).to(memory_format=torch.channels_last)
        w = random(cols, depth, s["kernel"], s["kernel"]).to(memory_format=torch.channels_last)
        padding = s["kernel"] // 2
        if row["kind"] == "conv_norm":
            gamma, beta = random(depth), random(depth)
            return "GroupNorm, SiLU, cuDNN", timed(
                torch,
                lambda: functional.conv2d(
                    functional.silu(functional.group_norm(x, 8, gamma, beta)), w, padding=padding
                ),
            )
        if s["upsample"]:
            return "interpolate, cuDNN", timed(
                torch,
                lambda: functional.conv2d(
                    functional.interpolate(x, scale_factor=2.0, mode="nearest"), w, padding=padding
                ),
            )
        return "cuDNN", timed(torch, lambda: functional.conv2d(x, w, padding=padding))
    return None


def label(row):
    return row["name"]


def kernel_table(args, torch):
    best, peers, names, work, ok = {}, {}, {}, {}, True
    for _ in range(ROUNDS):
        rows, fine = own(args, "kernels")
        ok = ok and fine
        for row in rows:
            key = label(row)
            work[key] = row.get("flop", 0), row["bytes"]
            best[key] = min(best.get(key, row["seconds"]), row["seconds"])
            if torch is None:
                continue
            try:
                if theirs := peer(torch, row):
                    names[key], seconds = theirs
                    peers[key] = min(peers.get(key, seconds), seconds)
            except (RuntimeError, TypeError) as error:
                print(f"PyTorch: {key}: {error}", file=sys.stderr)
            torch.cuda.empty_cache()
    lines = [
        "| kernel | ms | TFLOP/s, or GB/s if memory is the limit | PyTorch's counterpart | ms "
        "| Kleinbild's share of its rate |",
        "|---|---|---|---|---|---|",
    ]
    for key, seconds in best.items():
        flop, moved = work[key]
        rate = f"{flop / seconds / 1e12:.0f} TFLOP/s" if flop else f"{moved / seconds / 1e9:.0f} GB/s"
        line = f"| {key} | {seconds * 1e3:.3f} | {rate} |"
        if key in peers:
            line += f" {names[key]} | {peers[key] * 1e3:.3f} | {100 * peers[key] / seconds:.0f} % |"
        else:
            line += " none | | |"
        lines.append(line)
    return lines, ok


def upload_table(args):
    rows, ok = own(args, "upload")
    lines = ["| upload | GB | GB/s | of the plain copy |", "|---|---|---|---|"]
    plain = None
    for row in rows:
        rate = row["bytes"] / row["seconds"] / 1e9
        plain = plain or rate
        lines.append(f"| {row['name']} | {row['bytes'] / 1e9:.2f} | {rate:.1f} | {100 * rate / plain:.0f} % |")
    return lines, ok


def diffusers_times(args, torch):
    """Returns the seconds of the fastest of five warm pictures in Diffusers, in bf16 and compiled, with different
    prompts."""
    from diffusers import Flux2KleinPipeline

    pipe = Flux2KleinPipeline.from_pretrained(args.checkpoint, dtype=torch.bfloat16, local_files_only=True).to("cuda")
    pipe.set_progress_bar_config(disable=True)
    # Compiles one block of each kind instead of the whole transformer, because time on a GPU machine is short.
    pipe.transformer.compile_repeated_blocks(fullgraph=True)
    pipe.vae.decode = torch.compile(pipe.vae.decode)
    width, height = (int(n) for n in args.size.split("x"))

    def picture(i):
        start = time.perf_counter()
        generator = torch.Generator("cpu").manual_seed(i + 1)
        image = pipe(prompt=f"picture {i} of a red fox in the snow", width=width, height=height, num_inference_steps=4,
                     guidance_scale=1.0, generator=generator).images[0]
        image.save(args.kit / "diffusers.png")
        return time.perf_counter() - start

    for i in range(3):  # these pictures compile
        picture(i)
    return min(picture(i) for i in range(3, 8))


def picture_table(args, torch):
    few = ("-pictures", "1", "-steps", "1") if args.device == "sim" else ()
    rows, ok = own(args, "-size", args.size, *few, "pictures", str(args.checkpoint))
    times, order = {}, []
    for row in rows:
        if "seconds" in row and row["kind"] in ("cold", "warm"):
            key = (row["kind"], row["name"])
            order += [key] if key not in times else []
            times.setdefault(key, []).append(row["seconds"])
    lines = [f"| picture, {args.size}, 4 steps | best ms | all, ms |", "|---|---|---|"]
    for kind, name in order:
        every = times[kind, name]
        lines.append(f"| {kind}: {name} | {min(every) * 1e3:.1f} | {', '.join(f'{s * 1e3:.1f}' for s in every)} |")
    if torch is not None:
        try:
            theirs = diffusers_times(args, torch)
            whole = min(times["warm", "whole, PNG included"])
            lines.append(f"| Diffusers, bf16, blocks and VAE compiled: whole, PNG included | {theirs * 1e3:.1f} "
                         f"| Kleinbild is {theirs / whole:.2f} times as fast |")
        except Exception as error:  # a failure of Diffusers must not lose the rest of the table
            first = str(error).splitlines()[0] if str(error) else ""
            lines.append(f"| Diffusers: not measured ({type(error).__name__}: {first}) | | |")
    lines += ["", "| memory | GB |", "|---|---|"]
    lines += [f"| {row['name']} | {row.get('bytes', 0) / 1e9:.3f} |" for row in rows if row["kind"] == "memory"]
    return lines, ok


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kit", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--checkpoint", type=pathlib.Path)
    parser.add_argument("--device", choices=("cuda", "sim"), default="cuda")
    parser.add_argument("--size", default="1024x1024")
    args = parser.parse_args()
    torch = None
    if args.device == "cuda":
        try:
            import torch
        except ImportError:
            print("PyTorch is not installed: Kleinbild is measured alone", file=sys.stderr)
    if args.device == "cuda":
        query = "name,driver_version,memory.total,clocks.max.sm,power.limit"
        card = subprocess.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader", "--id=0"],
                              stdout=subprocess.PIPE, text=True).stdout.strip()
        title = f"# {card}; PyTorch {torch.__version__ if torch else 'not installed'}"
    else:
        title = "# Rehearsal on the software device: no figure here is a measurement"
    lines, ok = [title, ""], True
    parts = [lambda: kernel_table(args, torch), lambda: upload_table(args)]
    if args.checkpoint:
        parts.append(lambda: picture_table(args, torch))
    for part in parts:
        table, fine = part()
        ok = ok and fine
        lines += table + [""]
        args.out.write_text("\n".join(lines))  # written after each part, in case a later part fails
    print("\n".join(lines))
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
