"""Looks at pictures: what is where, in which colour. It sees pixels only, so it can judge whatever made them.

    python check.py STATE      trains the classifier on drawings: STATE/classifier.pt

A small network, trained apart from the model, tells what stands in each of the six places of a picture. The colour of a thing is the
palette's colour that most pixels of the place are closest to, where the backdrops' colours and fixed details do not count.
"""

import argparse
import dataclasses
import pathlib
import random

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from PIL import Image, ImageFilter

import captions
import run
import world
from world import COLOURS, COLUMNS, GROUND, KINDS, PALETTE, Scene, Thing

SIDE, STEPS = 48, 600


@dataclasses.dataclass
class Wanted:
    """count things of a kind; colour and column None where they are left open."""

    kind: str
    colour: str = None
    column: str = None
    count: int = 1


def window(slot, size):
    """The square of a place, as left, top, right, bottom in pixels."""
    kind = GROUND[0] if slot < 3 else world.SKY[0]
    thing = Thing(kind, "red", "large", COLUMNS[slot % 3])
    x, y, r = world.place(thing, Scene(things=[thing]), size)
    r *= 1.2
    return round(x - r), round(y - r), round(x + r), round(y + r)


def crops(image):
    return [image.crop(window(slot, image.size)).resize((SIDE, SIDE), Image.BILINEAR) for slot in range(6)]


class Classifier(nn.Module):
    """[n, 3, 48, 48] in [−1, 1] to the logits of nothing and every kind."""

    def __init__(self):
        super().__init__()
        widths = [3, 16, 32, 48, 64]
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in zip(widths, widths[1:]))
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for b in widths[1:])
        self.out = nn.Linear(64 * 9, len(KINDS) + 1)

    def forward(self, x):
        for convolution, norm in zip(self.convolutions, self.norms):
            x = F.max_pool2d(F.relu(norm(convolution(x))), 2)
        return self.out(x.flatten(1))


def pixels(images):
    return torch.from_numpy(np.stack([np.asarray(i) for i in images])).permute(0, 3, 1, 2).float() / 127.5 - 1


def _neutral_colours():
    """What belongs to no thing's colour: a sample of every backdrop's colours, and the details that all colours share."""
    found = set()
    for background in world.BACKGROUNDS:
        for night in (False, True):
            for weather in world.WEATHERS:
                image = world.draw(Scene(background, night, weather), (96, 96)).quantize(12).convert("RGB")
                found |= {c for n, c in image.getcolors(9216) if n > 60}
    shared = [world._CREAM, world._WOOD, world._LEAF, world._DARK, (255, 222, 110), (206, 232, 244), (108, 104, 116)]
    return np.array(sorted(found) + shared, np.float32)


_PALETTE = np.array([PALETTE[c] for c in COLOURS], np.float32)
_NEUTRAL = _neutral_colours()


def colour_of(crop):
    """The palette's colour of what stands in the middle of a place, or None where too few pixels have one."""
    a = np.asarray(crop, np.float32)[6:-6, 8:-8].reshape(-1, 3)
    to_palette = np.linalg.norm(a[:, None] - _PALETTE, axis=-1)
    to_neutral = np.linalg.norm(a[:, None] - _NEUTRAL, axis=-1).min(1)
    nearest = to_palette.argmin(1)
    counts = np.bincount(nearest[(to_palette.min(1) < 40) & (to_palette.min(1) < to_neutral)], minlength=len(COLOURS))
    return COLOURS[counts.argmax()] if counts.max() >= 30 else None


class Checker:
    def __init__(self, state):
        self.classifier = Classifier()
        self.classifier.load_state_dict(torch.load(pathlib.Path(state) / "classifier.pt"))
        self.classifier.eval()

    def look(self, image):
        """[(kind or None, colour or None)] of the six places: left, centre, right on the ground, then in the sky."""
        parts = crops(image)
        with torch.no_grad():
            best = self.classifier(pixels(parts)).argmax(1).tolist()
        return [(KINDS[k - 1] if k else None, colour_of(p)) for k, p in zip(best, parts)]

    def judge(self, image, wanted):
        """(object, colour, position) of everything wanted, True where it is as asked or left open."""
        seen, verdicts = self.look(image), []
        for w in wanted:
            places = range(0, 3) if w.kind in GROUND else range(3, 6)
            found = [s for s in places if seen[s][0] == w.kind]
            here = [s for s in places if w.column is None or s % 3 == COLUMNS.index(w.column)]
            coloured = [s for s in (found or here) if seen[s][1] == w.colour]
            verdicts.append((
                len(found) >= w.count,
                w.colour is None or len(coloured) >= min(w.count, max(1, len(found))),
                w.column is None or any(s in here for s in found) or (w.colour is not None and any(seen[s][1] == w.colour for s in here)),
            ))  # fmt: skip
        return verdicts


def wanted_of(scene):
    """What a whole scene asks of its picture: everything, where it is."""
    return [Wanted(t.kind, t.colour, t.column) for t in scene.things]


def main():
    args = argparse.ArgumentParser()
    args.add_argument("state")
    state = pathlib.Path(args.parse_args().state)
    run.threads(state)
    run.seed(9)
    log = run.Log(state / "check.log")
    rng = random.Random(900)
    net = Classifier()
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)

    def examples(many):
        images, labels = [], []
        while len(images) < many:
            scene = captions.sample(rng)
            image = world.draw(scene, rng.choice(list(world.ASPECTS.values())))
            if rng.random() < 0.5:
                image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.6)))
            for slot, crop in enumerate(crops(image)):
                if scene.at(slot) or rng.random() < 0.15:
                    images.append(crop)
                    labels.append(1 + KINDS.index(scene.at(slot).kind) if scene.at(slot) else 0)
        return pixels(images[:many]), torch.tensor(labels[:many])

    for step in range(STEPS):
        x, y = examples(64)
        x = (x * (1 + 0.1 * torch.randn(64, 3, 1, 1)) + 0.08 * torch.randn(64, 3, 1, 1) + 0.05 * torch.randn_like(x)).clamp(-1, 1)
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * run.rate(step, STEPS)
        loss = F.cross_entropy(net(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 200 == 199:
            log(f"check: step {step + 1} loss {loss.item():.4f}")
    torch.save(net.state_dict(), state / "classifier.pt")

    checker = Checker(state)
    verdicts = []
    for _ in range(400):
        scene = captions.sample(rng)
        verdicts += checker.judge(world.draw(scene, rng.choice(list(world.ASPECTS.values()))), wanted_of(scene))
    log("check: on drawings: object, colour, position " + " ".join(f"{100 * x:.1f}" for x in np.mean(np.array(verdicts, float), 0)))


if __name__ == "__main__":
    main()
