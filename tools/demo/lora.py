"""A LoRA for the demo model: the colours of dusk on everything that it draws, and its training.

    python lora.py STATE MODEL OUT [--ranks 2] [--steps 80] [--rank 4]

STATE keeps the drawings and, for a killed run, nothing else: the training takes minutes. MODEL is the folder of the
demo model, OUT the file. The loss and the batches are those of flow.py, with the drawings to be made in the style; of
the pictures to work from, half are in the style. Every linear layer of the blocks learns a product of rank RANK, and
the names in the file are those of Diffusers.
"""

import argparse
import json
import pathlib
import random
import time

import numpy as np
import torch
import torch.distributed
import torch.nn as nn
from diffusers import AutoencoderKLFlux2
from PIL import Image
from safetensors.torch import load_file, save_file

import dataset
import export
import flow
import run
import text

# The colour that each luma becomes, and how much of it a pixel gets.
STOPS = {
    0: (20, 12, 58), 0.35: (96, 38, 112), 0.6: (208, 84, 100), 0.8: (252, 150, 86), 1: (255, 224, 166),
}  # fmt: skip
SHARE = 0.7
# The numbers of the shards, which are their seeds, too: other drawings than those of the demo model.
FIRST = 900
# Scenes, edits and compositions of each process: colours need few.
COUNTS = (160, 50, 30)
# What the samples of a step are, in turn: each step has one kind, and so the products are formed once.
TURNS = [(0, 6)] * 3 + [(1, 4)] + [(0, 6)] * 3 + [(2, 3)]  # references of the kind, samples of each process


def dusk(image):
    """Returns an RGB image in the colours of dusk."""
    pixels = np.asarray(image).astype(np.float32)
    luma = pixels @ np.array([0.299, 0.587, 0.114], np.float32) / 255
    tint = np.stack([np.interp(luma, list(STOPS), [c[i] for c in STOPS.values()]) for i in range(3)], -1)
    return Image.fromarray((pixels + (tint - pixels) * SHARE).round().astype(np.uint8))


class Adapted(flow.Flow):
    """The transformer with a product beside each linear layer of its blocks. Only the products learn."""

    def __init__(self, rank, weights):
        super().__init__()
        self.take(weights)
        self.requires_grad_(False)
        layers = {n: p for n, p in self.p.items() if p.ndim == 2 and "blocks" in n}
        self.down = nn.ParameterDict({n: nn.Parameter(torch.randn(rank, p.shape[1]) * p.shape[1] ** -0.5)
            for n, p in layers.items()})  # fmt: skip
        self.up = nn.ParameterDict({n: nn.Parameter(torch.zeros(p.shape[0], rank)) for n, p in layers.items()})

    def g(self, name):
        key, weight = name.replace(".", "|"), super().g(name)
        up = getattr(self, "up", {})  # Flow's constructor and take set weights before there are products
        return weight + up[key] @ self.down[key] if key in up else weight

    def file(self):
        """Returns the tensors of the file, in bf16."""
        names = [n.replace("|", ".") for n in self.up.keys()]
        order = torch.argsort(flow._halves(flow.WIDTH))
        up = flow._permute({n: p.detach() for n, p in zip(names, self.up.values())}, order)
        out = {}
        for name, down in zip(names, self.down.values()):
            layer = "transformer." + name.removesuffix(".weight")
            out[f"{layer}.lora_A.weight"] = down.detach().to(torch.bfloat16).contiguous()
            out[f"{layer}.lora_B.weight"] = up[name].to(torch.bfloat16).contiguous()
        return out


def shard(state, number, rank, log):
    """Draws a shard if STATE lacks it."""
    path = state / "dusk" / f"{number}.pt"
    if path.exists():
        return
    path.parent.mkdir(exist_ok=True)
    autoencoder = AutoencoderKLFlux2.from_pretrained(state / "vae").eval().to(run.DEVICE)
    s = dataset.pictures(number, autoencoder, COUNTS, dusk)
    encoder, prompts = text.load(state)
    s["rows"], s["places"], s["lengths"] = dataset.embed(encoder, prompts, s.pop("texts"), random.Random(2000 + number))
    run.write(path, s)
    log(f"lora: {len(s['items'])} items of {len(s['tokens'])} pictures and {len(s['rows'])} captions in each process")


def train(rank, args):
    log = run.Log(args.state / "lora.log") if rank == 0 else (lambda text: None)
    shard(args.state, FIRST + rank, rank, log)
    torch.distributed.barrier()
    run.seed(3)
    weights = load_file(args.model / "transformer" / "diffusion_pytorch_model.safetensors")
    net = Adapted(args.rank, weights).to(run.DEVICE)
    run.seed(30 + rank)
    data = flow.Data(args.state / "dusk", rank, args.ranks)
    params = [*net.down.values(), *net.up.values()]
    optimiser = torch.optim.Adam(params, betas=(0.9, 0.99))
    log(f"lora: {sum(p.numel() for p in params)} parameters")
    losses, start = [], time.time()
    for step in range(args.steps):
        for group in optimiser.param_groups:
            group["lr"] = args.rate * run.rate(step, args.steps, warm=20)
        optimiser.zero_grad()
        references, many = TURNS[step % len(TURNS)]
        loss = flow.loss_of(net, data.batch(references, many))
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        if (step + 1) % flow.AVERAGED == 0 or step + 1 == args.steps:
            run.average(params)
        if (step + 1) % 10 == 0:
            log(f"lora: step {step + 1} loss {sum(losses[-10:]) / 10:.4f} {(time.time() - start) / 10:.1f} s a step")
            start = time.time()
            if rank == 0:
                save(net, args)
    if rank == 0:
        save(net, args)
        log(f"lora: {args.out}, {args.out.stat().st_size} bytes")


def save(net, args):
    about = {"modelspec.title": "Dusk for the demo model", "modelspec.architecture": "kleinbild-demo",
        "software": json.dumps({"name": "tools/demo/lora.py"}), "format": "pt"}  # fmt: skip
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(net.file(), args.out, about)


def main():
    args = argparse.ArgumentParser()
    args.add_argument("state", type=pathlib.Path)
    args.add_argument("model", type=pathlib.Path)
    args.add_argument("out", type=pathlib.Path)
    args.add_argument("--ranks", type=int, default=run.RANKS)
    args.add_argument("--steps", type=int, default=80)
    args.add_argument("--rank", type=int, default=4)
    args.add_argument("--rate", type=float, default=2e-3)
    args = args.parse_args()
    args.state.mkdir(parents=True, exist_ok=True)
    export.take_apart(args.model, args.state)
    run.ranks(train, args, "lora")


if __name__ == "__main__":
    main()
