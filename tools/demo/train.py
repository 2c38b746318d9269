"""Makes the demo model from nothing: every stage in order, each resumed where it stood.

    python train.py STATE OUT [--ranks 2] [--first 0] [--shards 24] [--steps 5650] [--init FOLDER]

The autoencoder and the text encoder train at the same time; then the drawings are encoded once, and the transformer trains on the
latents. OUT becomes the Diffusers folder. With --init the autoencoder and the text encoder are those of a finished model, and the
transformer goes on from its weights, at half the rate.
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
    args.add_argument("--first", type=int, default=0, help="the first shard's number: others are other drawings")
    args.add_argument("--shards", type=int, default=24)
    args.add_argument("--steps", type=int, default=5650, help="of the transformer")
    args.add_argument("--init")
    args = args.parse_args()
    args.state.mkdir(parents=True, exist_ok=True)
    # Waiting threads sleep: on a machine that does other work besides, spinning ones cost more than they gain.
    environment = os.environ | {"OMP_WAIT_POLICY": "passive", "KLEINBILD_THREADS": os.environ.get("KLEINBILD_THREADS", "1")}

    def together(*commands):
        running = [subprocess.Popen([sys.executable, str(HERE / c[0]), str(args.state), *map(str, c[1:])], env=environment) for c in commands]
        if any([r.wait() for r in running]):
            sys.exit(f"train: {commands} failed")

    def spread(what):
        """Shards FIRST to FIRST + COUNT on every core."""
        cores = min(os.cpu_count(), args.shards)
        cuts = [args.shards * r // cores for r in range(cores + 1)]
        together(*[("dataset.py", what, args.first + a, b - a) for a, b in zip(cuts, cuts[1:])])

    if args.init:
        together(("export.py", "--from", args.init))
    else:
        made = lambda part: (args.state / part / "config.json").exists()
        waiting = [] if made("vae") else [("vae.py",)]
        if not made("text_encoder"):
            waiting.append(("text.py", "--ranks", max(1, args.ranks - len(waiting))))
        together(*waiting)
    spread("pictures")
    spread("rows")
    going_on = ("--init", args.init, "--muon", 0.01, "--adam", 6e-4, "--flat", 0) if args.init else ()
    together(("flow.py", "--ranks", args.ranks, "--steps", args.steps, *going_on))
    if not args.init and not (args.state / "classifier.pt").exists():
        together(("check.py",))
    together(("export.py", args.out))


if __name__ == "__main__":
    main()
