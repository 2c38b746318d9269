"""Shards of training data for the transformer: latents of drawings, and rows of the text encoder for their captions.

    python dataset.py STATE pictures FIRST COUNT     draws and encodes COUNT shards, the first of which has number FIRST
    python dataset.py STATE rows FIRST COUNT         adds the text encoder's rows and writes STATE/shards/FIRST.pt …

The number of a shard is also its seed. A shard contains SCENES described pictures, EDITS pairs, and COMPOSED sets of
references with their results. The pictures of pairs are described as well. Of the 512 rows of a text only ROWS_KEPT are
stored, see flow.py.
"""

import argparse
import pathlib
import random

import torch
from diffusers import AutoencoderKLFlux2

import captions
import run
import text
import vae
import world

SCENES, EDITS, COMPOSED = 200, 400, 400
# By captions.OPERATIONS. Removing is learnt slowest, so it is more frequent than in what people ask for.
EDIT_SHARES = (24, 26, 20, 22, 14, 5, 3, 5, 8)
MOST = max(w // 16 * (h // 16) for w, h in world.ASPECTS.values())
SIZES = list(world.ASPECTS.values())
# The rows that are stored: some of the prompt's words, the whole tail of the template, which follows the prompt, and
# some padding.
WORD_ROWS, TAIL_ROWS, PAD_ROWS = 3, text.TAIL_LENGTH, 3
ROWS_KEPT = WORD_ROWS + TAIL_ROWS + PAD_ROWS
CAPTIONS = 3


def covered(scene, size):
    """Returns which tokens are covered by things, [MOST] in row-major order."""
    columns, rows = size[0] // 16, size[1] // 16
    mask = torch.zeros(rows, columns, dtype=torch.bool)
    for t in scene.things:
        x, y, r = world.place(t, scene, size)
        below = 1.2 if t.kind == "balloon" else 1.05
        left, top = max(0, int((x - 1.05 * r) // 16)), max(0, int((y - 1.05 * r) // 16))
        mask[top : int((y + below * r) // 16) + 1, left : int((x + 1.05 * r) // 16) + 1] = True
    out = torch.zeros(MOST, dtype=torch.bool)
    out[: rows * columns] = mask.flatten()
    return out


def embed(encoder, prompts, texts, rng):
    """Returns the stored rows of each text [n, ROWS_KEPT, EMBED], their positions [n, ROWS_KEPT] and the lengths of the
    texts [n]."""
    ids = prompts.ids(texts)
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    rows = torch.zeros(len(ids), ROWS_KEPT, text.EMBED, dtype=torch.bfloat16)
    places = torch.zeros(len(ids), ROWS_KEPT, dtype=torch.long)
    for at in range(0, len(order), 64):
        some = order[at : at + 64]
        tokens, positions, lengths = prompts.rows([ids[i] for i in some], PAD_ROWS, rng)
        with torch.no_grad():
            h = encoder(tokens, positions, lengths).cpu()
        keep = torch.tensor([
            sorted(rng.sample(range(n - TAIL_ROWS), WORD_ROWS)) + list(range(n - TAIL_ROWS, n))
            + list(range(tokens.shape[1] - PAD_ROWS, tokens.shape[1]))
            for n in lengths.tolist()
        ])  # fmt: skip
        rows[some] = h.gather(1, keep[..., None].expand(-1, -1, h.shape[-1])).to(torch.bfloat16)
        places[some] = positions.cpu().gather(1, keep)
    return rows, places, torch.tensor([len(i) for i in ids])


def pictures(number, autoencoder, counts=(SCENES, EDITS, COMPOSED), style=None):
    """Returns a shard without the rows of its texts, of so many scenes, edits and compositions. With a style, which
    turns a drawing into another picture, every target is in that style, and every other reference."""
    scenes, edits, composed = counts
    rng = random.Random(1000 + number)
    drawn = []  # (scene, index of its size, whether it is in the style)
    items = []  # [number of references, target picture, four reference pictures or −1, first caption]
    texts = []  # captions

    def add(scene, size, styled=False):
        drawn.append((scene, size, styled))
        return len(drawn) - 1

    def restyle(picture):
        return add(*drawn[picture][:2], True)

    def item(target, references, said):
        if style:
            target, references = restyle(target), [restyle(r) if rng.random() < 0.5 else r for r in references]
        items.append([len(references), target] + references + [-1] * (4 - len(references)) + [len(texts)])
        texts.extend(said)

    def some_size():
        return rng.choices(range(8), [5, 6, 2, 2, 2, 2, 2, 3])[0]

    def described(scene, picture):
        if not captions.held_out(scene):
            item(picture, [], [captions.describe(scene, rng) for _ in range(CAPTIONS)])

    for _ in range(scenes):
        scene = captions.sample(rng)
        described(scene, add(scene, some_size())) if not captions.held_out(scene) else None
    for _ in range(edits):
        before, after, said, _ = captions.edit(rng, shares=EDIT_SHARES)
        size = some_size()
        first, second = add(before, size), add(after, size)
        item(second, [first], said)
        described(before, first)
        described(after, second)
    for _ in range(composed):
        references, scene, said, _ = captions.compose(rng)
        size = some_size()
        item(add(scene, size), [add(r, size if rng.random() < 0.5 else some_size()) for r in references], said)

    def draw(scene, size, styled):
        image = world.draw(scene, SIZES[size])
        return style(image) if styled else image

    tokens = torch.zeros(len(drawn), MOST, 128, dtype=torch.bfloat16)
    for size in range(8):
        own = [i for i, p in enumerate(drawn) if p[1] == size]
        for at in range(0, len(own), 8):
            z = vae.encode(autoencoder, vae.pixels([draw(*drawn[i]) for i in own[at : at + 8]]))
            tokens[own[at : at + 8], : z.shape[1]] = z.to(torch.bfloat16)
    first = lambda scene: (scene.things[0].dx, scene.things[0].dy) if scene.things else (0.0, 0.0)
    return {
        "tokens": tokens, "size": torch.tensor([p[1] for p in drawn]),
        "covered": torch.stack([covered(s, SIZES[k]) for s, k, _ in drawn]),
        "jitter": torch.tensor([first(s) for s, _, _ in drawn]), "items": torch.tensor(items), "texts": texts,
    }  # fmt: skip


def main():
    args = argparse.ArgumentParser()
    args.add_argument("state", type=pathlib.Path)
    args.add_argument("what", choices=["pictures", "rows"])
    args.add_argument("first", type=int)
    args.add_argument("count", type=int)
    args = args.parse_args()
    run.threads(args.state)
    log = run.Log(args.state / "dataset.log")
    folder = args.state / "shards"
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    if args.what == "pictures":
        autoencoder = AutoencoderKLFlux2.from_pretrained(args.state / "vae").eval().to(run.DEVICE)
    else:
        encoder, prompts = text.load(args.state)
    for number in range(args.first, args.first + args.count):
        drawn, path = folder / "pictures" / f"{number:03}.pt", folder / f"{number:03}.pt"
        if args.what == "pictures" and not drawn.exists():
            s = pictures(number, autoencoder)
            run.write(drawn, s)
            deviation = s["tokens"][:, :126].float().std()
            log(f"dataset: shard {number}: {len(s['items'])} items, {len(s['tokens'])} pictures, "
                f"deviation {deviation:.3f}")
        elif args.what == "rows" and not path.exists():
            s = torch.load(drawn, weights_only=True)
            s["rows"], s["places"], s["lengths"] = embed(encoder, prompts, s.pop("texts"), random.Random(2000 + number))
            run.write(path, s)
            log(f"dataset: shard {number}: {len(s['rows'])} captions")


if __name__ == "__main__":
    main()
