"""Measures a model with the program itself: four steps, 512 text rows, pictures as PNG, judged by check.py. Writes
contact sheets.

    python evaluate.py STATE MODEL ./kleinbild-cli OUT [--sets grammar,freeform,edits,compositions] [--many 300] [--jobs 1]

MODEL is a Diffusers folder. STATE contains the classifier, as tools/demo does. The prompts are unknown to the training:
combinations of background, time, kinds, colours and columns that are held out (captions.held_out), and those of
freeform.txt, which were written by hand before the training.
"""

import argparse
import concurrent.futures
import json
import pathlib
import random
import subprocess
import time

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

import captions
import check
import world

SIZES = list(world.ASPECTS.values())


class Engine:
    def __init__(self, binary, model, folder):
        self.binary, self.model, self.folder, self.seconds = binary, model, folder, []

    def picture(self, name, prompt, size, seed, references=()):
        path = self.folder / f"{name}.png"
        command = [self.binary, "generate", "-m", self.model, "-p", prompt, "--size", f"{size[0]}x{size[1]}"]
        command += ["-s", str(seed), "-o", str(path)]
        for i, r in enumerate(references):
            file = self.folder / f"{name}-image{i + 1}.png"
            r.save(file)
            command += ["-i", str(file)]
        path.unlink(missing_ok=True)
        start = time.time()
        subprocess.run(command, check=True, capture_output=True)
        self.seconds.append(time.time() - start)
        return Image.open(path).convert("RGB")


def freeform():
    """Returns [(prompt, [Wanted])] of freeform.txt."""
    out = []
    for line in (pathlib.Path(__file__).parent / "freeform.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            prompt, wanted = line.split(" | ")
            things = []
            for part in wanted.split("; "):
                words = part.split()
                count = int(words.pop(0)) if words[0].isdigit() else 1
                kind, colour, column = words
                any_will_do = lambda word: None if word == "-" else word
                things.append(check.Wanted(kind, any_will_do(colour), any_will_do(column), count))
            out.append((prompt, things))
    return out


def grammar(many):
    """Returns held-out scenes with a caption each: [(prompt, scene)]."""
    rng, out = random.Random(11), []
    while len(out) < many:
        if captions.held_out(scene := captions.sample(rng)):
            out.append((captions.describe(scene, rng), scene))
    return out


def difference(a, b):
    """Returns the mean absolute difference of each pixel, in levels."""
    return np.abs(np.asarray(a, np.float32) - np.asarray(b, np.float32)).mean(-1)


def edit_verdict(checker, image, before, after, meaning, size):
    """Returns whether the change is there, and whether the rest is kept."""
    old, new = world.draw(before, size), world.draw(after, size)
    changed = difference(old, new) > 6
    # Pixels within 4 pixels of a change count neither as changed nor as kept.
    near = Image.fromarray(changed.astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(9))
    rest = np.asarray(near) == 0
    there = difference(image, new)[changed].mean() < min(40, difference(image, old)[changed].mean())
    seen = checker.look(image)
    if meaning.operation in ("recolour", "add", "replace"):
        t = next(t for t in after.things if t.kind == (meaning.kind or meaning.target))
        there = there and seen[t.slot] == (t.kind, t.colour)
    elif meaning.operation == "remove":
        slot = next(t.slot for t in before.things if t.kind == meaning.target)
        there = there and seen[slot][0] is None
    return bool(there), bool(rest.sum() < 50 or difference(image, old)[rest].mean() <= 12)


def composition_verdict(checker, image, scene, from_picture, size):
    """Returns whether every part is there: things of the right kinds and colours, and the background if it comes from a
    picture."""
    ok = all(o and c for o, c, _ in checker.judge(image, [check.Wanted(t.kind, t.colour) for t in scene.things]))
    if from_picture:
        empty = scene.copy()
        empty.things = []
        drawn = world.draw(scene, size)
        free = difference(drawn, world.draw(empty, size)) < 2
        ok = ok and difference(image, drawn)[free].mean() <= 20
    return ok


def sheet(cells, path, columns=6, side=200):
    """Writes a contact sheet of cells (images, caption)."""
    rows = -(-len(cells) // columns)
    widest = max(len(images) for images, _ in cells)
    step = side if widest == 1 else 120
    out = Image.new("RGB", (columns * step * widest + 8, rows * (step + 34) + 8), "white")
    pen = ImageDraw.Draw(out)
    for i, (images, text) in enumerate(cells):
        x, y = (i % columns) * step * widest + 8, (i // columns) * (step + 34) + 8
        for k, image in enumerate(images):
            small = image.copy()
            small.thumbnail((step - 8, step - 8))
            out.paste(small, (x + k * step, y))
        per_line = (step * widest) // 6 - 1
        second = "\n" + text[per_line : 2 * per_line] if len(text) > per_line else ""
        pen.text((x, y + step - 6), text[:per_line] + second, fill=(40, 40, 40))
    out.save(path, quality=82)


def main():
    args = argparse.ArgumentParser()
    args.add_argument("state")
    args.add_argument("model")
    args.add_argument("binary")
    args.add_argument("out")
    args.add_argument("--sets", default="grammar,freeform,edits,compositions")
    args.add_argument("--many", type=int, default=300)
    args.add_argument("--jobs", type=int, default=1)
    args = args.parse_args()
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    engine, checker = Engine(args.binary, args.model, out), check.Checker(args.state)
    pool = concurrent.futures.ThreadPoolExecutor(args.jobs)
    report = {}
    size_of = lambda i: SIZES[0] if i % 4 == 0 else SIZES[1] if i % 4 == 2 else SIZES[i // 2 % 8]

    def say(name, verdicts, labels):
        verdicts = np.array(verdicts, float)
        shares = {label: round(100 * float(v), 1) for label, v in zip(labels, verdicts.mean(0))}
        report[name] = shares | {"of": len(verdicts)}
        print(name, report[name], flush=True)

    def described(name, prompts, sheet_of):
        make = lambda i: engine.picture(f"{name}{i:03}", prompts[i][0], size_of(i), i)
        images = list(pool.map(make, range(len(prompts))))
        verdicts, whole, wrong = [], [], []
        for i, (image, (prompt, wanted)) in enumerate(zip(images, prompts)):
            judged = checker.judge(image, wanted)
            verdicts += judged
            whole.append([all(v) for v in zip(*judged)] + [all(map(all, judged))])
            if not whole[-1][-1]:
                wrong.append(f"{i:03} {prompt} {wanted} {checker.look(image)}")
        say(name, verdicts, ("object", "colour", "position"))
        say(name + ", whole pictures", whole, ("object", "colour", "position", "all"))
        (out / f"{name}-wrong.txt").write_text("\n".join(wrong) + "\n")
        sheet([([images[i]], prompts[i][0]) for i in range(min(sheet_of, len(images)))], out / f"{name}.webp")

    for name in args.sets.split(","):
        if name == "grammar":
            described(name, [(p, check.wanted_of(s)) for p, s in grammar(args.many)], 36)
        elif name == "freeform":
            described(name, freeform(), 100)
        elif name == "edits":
            cases = [captions.edit(random.Random(5000 + i), held=True) for i in range(args.many // 3)]
            before = lambda i: world.draw(cases[i][0], size_of(i))
            make = lambda i: engine.picture(f"edit{i:03}", cases[i][2][0], size_of(i), i, [before(i)])
            pictures = list(pool.map(make, range(len(cases))))
            made = list(enumerate(zip(pictures, cases)))
            verdicts = [edit_verdict(checker, image, c[0], c[1], c[3], size_of(i)) for i, (image, c) in made]
            say(name, verdicts, ("change", "kept"))
            for op in captions.OPERATIONS[1:]:
                if own := [v for v, c in zip(verdicts, cases) if c[3].operation == op]:
                    say(f"edits, {op}", own, ("change", "kept"))
            sheet([([before(i), image], c[2][0]) for i, (image, c) in made[:40]], out / "edits.webp", columns=5)
        elif name == "compositions":
            cases = [captions.compose(random.Random(7000 + i), held=True) for i in range(args.many // 3)]
            draw = lambda i: [world.draw(r, size_of(i + k)) for k, r in enumerate(cases[i][0])]
            make = lambda i: engine.picture(f"compose{i:03}", cases[i][2][0], size_of(i), i, draw(i))
            pictures = list(pool.map(make, range(len(cases))))
            verdicts = [
                [composition_verdict(checker, image, c[1], c[3].background_source > 0, size_of(i))]
                for i, (image, c) in enumerate(zip(pictures, cases))
            ]
            say(name, verdicts, ("all parts",))
            for many in (2, 3, 4):
                if own := [v for v, c in zip(verdicts, cases) if len(c[0]) == many]:
                    say(f"compositions of {many}", own, ("all parts",))
            two = [i for i in range(len(cases)) if len(cases[i][0]) == 2][:24]
            sheet([(draw(i) + [pictures[i]], cases[i][2][0]) for i in two], out / "compositions.webp", columns=3)
    report["seconds a picture, start-up included"] = round(float(np.median(engine.seconds)), 2)
    print(report["seconds a picture, start-up included"], "s a picture")
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
