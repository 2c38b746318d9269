"""Makes samples of a transformer in training: a contact sheet and the checker's verdicts, with the few text rows of the
training.

    python quick.py STATE [--many 48] [--steps 4]
"""

import argparse
import pathlib
import random

import numpy as np
import torch
from diffusers import AutoencoderKLFlux2
from PIL import Image

import check
import dataset
import evaluate
import flow
import run
import text
import vae
import world


def main():
    args = argparse.ArgumentParser()
    args.add_argument("state", type=pathlib.Path)
    args.add_argument("--many", type=int, default=48)
    args.add_argument("--steps", type=int, default=4)
    args.add_argument("--freeform", action="store_true")
    args = args.parse_args()
    torch.set_num_threads(1)
    saved = run.peek(args.state / "flow-0.pt")
    net = flow.Flow()
    for p, e in zip(net.p.values(), saved["ema"]):
        p.data.copy_(e)
    autoencoder = AutoencoderKLFlux2.from_pretrained(args.state / "vae").eval()
    encoder, prompts = text.load(args.state)
    if args.freeform:
        cases = evaluate.freeform()[: args.many]
    else:
        cases = [(p, check.wanted_of(s)) for p, s in evaluate.grammar(args.many)]
    rows, places, lengths = dataset.embed(encoder, prompts, [p for p, _ in cases], random.Random(4))
    checker = check.Checker(pathlib.Path(__file__).parent)
    images, verdicts = [], []
    for i, (prompt, wanted) in enumerate(cases):
        size = dataset.SIZES[i % 8 if i % 2 else 0]
        columns, lines = size[0] // 16, size[1] // 16
        index = torch.arange(columns * lines)
        l = places[i]
        words = torch.stack([torch.zeros_like(l)] * 3 + [l], 1)
        zeros = torch.zeros_like(index)
        tokens = torch.stack([zeros, index // columns, index % columns, zeros], 1)
        position = torch.cat([words, tokens])[None]
        represented = text.stand_for(lengths[i : i + 1], dataset.WORD_ROWS, dataset.PAD_ROWS)
        bias = torch.cat([represented, torch.zeros(1, len(index))], 1)
        x = torch.randn(1, 128, lines, columns, generator=torch.Generator().manual_seed(i)).flatten(2).transpose(1, 2)
        levels = flow.sigmas(len(index), args.steps) + [0.0]
        with torch.no_grad():
            for a, b in zip(levels, levels[1:]):
                x = x + (b - a) * net(x, rows[i : i + 1].float(), torch.tensor([a]), *net.rope(position), bias)
        y = vae.decode(autoencoder, x, size)
        image = Image.fromarray(((y[0] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy())
        images.append(([image], prompt))
        verdicts += checker.judge(image, wanted)
    kind = "freeform" if args.freeform else "grammar"
    print("step", saved["step"], kind, "object, colour, position", np.mean(np.array(verdicts, float), 0) * 100)
    evaluate.sheet(images, args.state / f"quick-{kind}.png", columns=8)


if __name__ == "__main__":
    main()
