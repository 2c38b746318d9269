"""Judges pictures: which things are where, and in which colours. It sees only pixels, so it can judge every generator.

    python check.py STATE      trains the classifier on drawings and writes STATE/classifier.pt

A small network, trained separately from the model, classifies the thing in each of the six places of a picture. The
colour of a thing is the colour of the palette that is nearest to most of its body. The body is the part that has the
thing's own colour in drawings of its kind, so the background does not matter.
"""

import argparse
import dataclasses
import functools
import itertools
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
    """count things of a kind. colour and column are None if any will do."""

    kind: str
    colour: str = None
    column: str = None
    count: int = 1


def window(slot, size):
    """Returns the square of a place: left, top, right, bottom in pixels."""
    kind = GROUND[0] if slot < 3 else world.SKY[0]
    thing = Thing(kind, "red", "large", COLUMNS[slot % 3])
    x, y, r = world.place(thing, Scene(things=[thing]), size)
    r *= 1.2
    return round(x - r), round(y - r), round(x + r), round(y + r)


def crops(image):
    return [image.crop(window(slot, image.size)).resize((SIDE, SIDE), Image.BILINEAR) for slot in range(6)]


class Classifier(nn.Module):
    """Maps [n, 3, 48, 48] in [−1, 1] to logits: nothing, and every kind."""

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


_PALETTE = np.array([PALETTE[c] for c in COLOURS], np.float32)


def _nearest(image):
    """Returns for each pixel the index of the nearest colour of the palette, or −1 if all are more than 40 levels
    away."""
    distance = np.linalg.norm(np.asarray(image, np.float32)[..., None, :] - _PALETTE, axis=-1)
    return np.where(distance.min(-1) < 40, distance.argmin(-1), -1)


@functools.cache
def bodies(kind):
    """Returns masks of the body of a kind in the crop of a place, [n, SIDE, SIDE]: for both sizes, alone and among
    three, and with the jitter at its limits and in the middle. The body is what changes from red to blue if the thing
    does."""
    masks = []
    for size, crowd, dx in itertools.product(world.SIZES, (1, 3), (-world.JITTER[0], 0, world.JITTER[0])):
        things = [Thing(kind, "white", size, column, dx) for column in COLUMNS]
        thing, places = things[1], []
        for colour in ("red", "blue"):
            thing.colour = colour
            image = world.draw(Scene(things=things if crowd == 3 else [thing]))
            places.append(_nearest(crops(image)[thing.slot]) == COLOURS.index(colour))
        masks.append(places[0] & places[1])
    return np.stack(masks)


def colour_of(crop, kind):
    """Returns the colour of a kind's body in the crop of a place, or None.

    Among the colours that fill more than two fifths of some body mask, it is the colour whose share inside the mask
    exceeds its share outside the most. The share inside alone would be misleading: a mask that is too large for a brown
    house in the snow is mostly white, but so are its surroundings.
    """
    masks = bodies(kind)
    of = _nearest(crop) == np.arange(len(COLOURS))[:, None, None, None]
    inside = (of & masks).sum((2, 3)) / masks.sum((1, 2))
    around = (of & ~masks).sum((2, 3)) / (~masks).sum((1, 2))
    contrast = np.where(inside > 0.4, inside - around, -1).max(1)
    return COLOURS[contrast.argmax()] if contrast.max() > -1 else None


class Checker:
    def __init__(self, state):
        self.classifier = Classifier()
        self.classifier.load_state_dict(torch.load(pathlib.Path(state) / "classifier.pt"))
        self.classifier.eval()

    def look(self, image):
        """Returns [(kind or None, colour or None)] of the six places: left, centre, right on the ground, then in the
        sky."""
        parts = crops(image)
        with torch.no_grad():
            best = self.classifier(pixels(parts)).argmax(1).tolist()
        kinds = [KINDS[k - 1] if k else None for k in best]
        return [(kind, colour_of(part, kind) if kind else None) for kind, part in zip(kinds, parts)]

    def judge(self, image, wanted):
        """Returns (object, colour, position) for everything wanted: True if it is as asked, or if any will do."""
        seen, verdicts = self.look(image), []
        for w in wanted:
            places = range(0, 3) if w.kind in GROUND else range(3, 6)
            found = [s for s in places if seen[s][0] == w.kind]
            here = [s for s in places if w.column is None or s % 3 == COLUMNS.index(w.column)]
            coloured = [s for s in (found or here) if seen[s][1] == w.colour]
            verdicts.append((
                len(found) >= w.count,
                w.colour is None or len(coloured) >= min(w.count, max(1, len(found))),
                w.column is None or any(s in here for s in found)
                or (w.colour is not None and any(seen[s][1] == w.colour for s in here)),
            ))  # fmt: skip
        return verdicts


def wanted_of(scene):
    """Returns what the picture of a whole scene must show: every thing in its place."""
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
        x = (x * (1 + 0.1 * torch.randn(64, 3, 1, 1)) + 0.08 * torch.randn(64, 3, 1, 1)
            + 0.05 * torch.randn_like(x)).clamp(-1, 1)
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
    shares = " ".join(f"{100 * x:.1f}" for x in np.mean(np.array(verdicts, float), 0))
    log(f"check: on drawings: object, colour, position {shares}")


if __name__ == "__main__":
    main()
