"""The transformer: its configuration, its training on several processes.

    python flow.py STATE --ranks 2 --steps N [--init FOLDER]

The loss is on the velocity. What makes it affordable on a CPU:

- Of the 512 text rows 12 are seen: WORDS_SEEN, the template's tail, PADS_SEEN. Of the 126 to 144 tokens of a picture TOKENS are, so that
  pictures of all sizes share a batch. What is left out is made up for in the attention: log(how many a row stands for) is added to its
  logits. The rows and tokens differ every time.
- Products are bf16 where the processor has them (run.BF16), and the blocks are compiled there.
- σ is drawn where four steps go: 1, 0.955, 0.876, 0.702 for a picture of this size, and a fifth of the time anywhere.
- The noise tells the jitter: the means over the picture of two of its channels are made to be the normal deviates of the jitter's x
  and y. It stays standard normal, since the jitter is uniform, but a caption and a noise have one answer, which needs few steps.
"""

import argparse
import math
import pathlib
import random
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

import dataset
import muon
import run
import text
import world

HEADS, WIDTH, DOUBLE, SINGLE = 4, 64, 1, 4
HIDDEN = HEADS * WIDTH
CONFIG = dict(
    in_channels=128, joint_attention_dim=text.EMBED, guidance_embeds=False, timestep_guidance_channels=256, mlp_ratio=3.0, num_layers=DOUBLE,
    num_single_layers=SINGLE, num_attention_heads=HEADS, attention_head_dim=WIDTH, axes_dims_rope=(WIDTH // 4,) * 4, rope_theta=2000,
)  # fmt: skip
AVERAGED = 10  # steps between the processes' averages
JITTER_CHANNELS = (0, 1)
TOKENS = 126  # seen of a picture: all of the smallest
# How many times more a token under a thing counts than one of the backdrop.
THING_COUNTS = 3
WORDS_SEEN, PADS_SEEN = 1, 2  # of the kept rows; of the template's tail all
# Samples a process and step of descriptions, edits, compositions; these are of two pictures, three and four in turn, mostly of two.
SHARES = (20, 4, 3)


def _halves(n):
    return torch.cat([torch.arange(0, n, 2), torch.arange(1, n, 2)])


def _permute(weights, order):
    """Reorders the channels of every query and key head: here RoPE turns the two halves of a head, in the files adjacent pairs."""
    turn = lambda w: w.view(HEADS, WIDTH, -1)[:, order].reshape(w.shape)
    out = {}
    for name, w in weights.items():
        if any(n in name for n in ("norm_q", "norm_k", "norm_added_q", "norm_added_k")):
            w = w[order]
        elif any(n in name for n in ("to_q.", "to_k.", "add_q_proj", "add_k_proj")):
            w = turn(w)
        elif "to_qkv_mlp_proj" in name:
            w = torch.cat([turn(w[:HIDDEN]), turn(w[HIDDEN : 2 * HIDDEN]), w[2 * HIDDEN :]])
        out[name] = w.clone()
    return out


def _norm(h, shift, scale):
    return torch.addcmul(shift, F.layer_norm(h, (HIDDEN,), eps=1e-6), 1 + scale)


def _heads(x):
    return x.unflatten(-1, (HEADS, WIDTH))


def _rms(h, weight):
    return F.rms_norm(h.float(), (WIDTH,), weight, 1e-6)


def _attend(q, k, v, cos, sin, mask):
    """q, k, v [n, rows, HEADS, WIDTH]; mask [n, 1, 1, rows] is added to the logits. Returns [n, rows, HIDDEN]."""

    def turn(x):
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).transpose(1, 2)

    # Written out: the fused attention's backward is slow in bf16 on processors, and some 150 rows are few.
    logits = (turn(q) * WIDTH**-0.5) @ turn(k).transpose(2, 3)
    return (torch.softmax(logits + mask, -1) @ v.transpose(1, 2)).transpose(1, 2).flatten(2)


def _feed(h, into, out):
    a, b = F.linear(h, into).chunk(2, -1)
    return F.linear(F.silu(a) * b, out)


DOUBLE_WEIGHTS = [
    *(f"attn.{n}.weight" for n in ("to_q", "to_k", "to_v", "norm_q", "norm_k", "to_out.0")), "ff.linear_in.weight", "ff.linear_out.weight",
    *(f"attn.{n}.weight" for n in ("add_q_proj", "add_k_proj", "add_v_proj", "norm_added_q", "norm_added_k", "to_add_out")),
    "ff_context.linear_in.weight", "ff_context.linear_out.weight",
]  # fmt: skip


def double_block(h, c, mi, mt, cos, sin, mask, weights):
    """h [n, tokens, HIDDEN] and c [n, rows, HIDDEN] after a double block; mi, mt: shift, scale and gate of its two halves, each twice."""
    rows, q, k, v, out = c.shape[1], [], [], [], []
    for x, m, w in ((c, mt, weights[8:]), (h, mi, weights[:8])):
        x = _norm(x, m[0], m[1])
        q.append(_rms(_heads(F.linear(x, w[0])), w[3]))
        k.append(_rms(_heads(F.linear(x, w[1])), w[4]))
        v.append(_heads(F.linear(x, w[2])))
    o = _attend(torch.cat(q, 1), torch.cat(k, 1), torch.cat(v, 1), cos, sin, mask)
    for x, a, m, w in ((h, o[:, rows:], mi, weights[:8]), (c, o[:, :rows], mt, weights[8:])):
        x = x + m[2] * F.linear(a, w[5])
        out.append(x + m[5] * _feed(_norm(x, m[3], m[4]), w[6], w[7]))
    return out


SINGLE_WEIGHTS = [f"attn.{n}.weight" for n in ("to_qkv_mlp_proj", "norm_q", "norm_k", "to_out")]


def single_block(h, m, cos, sin, mask, weights):
    """h [n, rows + tokens, HIDDEN] after a single block; m: its shift, scale and gate."""
    q, k, v, u, d = F.linear(_norm(h, m[0], m[1]), weights[0]).split([HIDDEN] * 3 + [3 * HIDDEN] * 2, -1)
    o = _attend(_rms(_heads(q), weights[1]), _rms(_heads(k), weights[2]), _heads(v), cos, sin, mask)
    return h + m[2] * F.linear(torch.cat([o, F.silu(u) * d], -1), weights[3])


class Flow(nn.Module):
    """Flux2Transformer2DModel with an attention bias a key and positions a sample; parameters have its names, dots as bars."""

    def __init__(self, compiled=False):
        super().__init__()
        from diffusers import Flux2Transformer2DModel

        self.double, self.single = (torch.compile(f, dynamic=False) if compiled else f for f in (double_block, single_block))

        self.p = nn.ParameterDict({n.replace(".", "|"): nn.Parameter(p.detach().clone()) for n, p in Flux2Transformer2DModel(**CONFIG).named_parameters()})
        with torch.no_grad():
            for n, p in self.p.items():
                if p.ndim == 2:
                    p.normal_(0, p.shape[1] ** -0.5)
                    if "modulation" in n or n.startswith("norm_out|linear"):
                        p.zero_()
            lift, gain = torch.linalg.qr(torch.randn(HIDDEN, 128))[0], math.sqrt(HIDDEN / 128)
            self.g("x_embedder.weight").copy_(lift * gain)
            self.g("proj_out.weight").copy_(lift.T / gain)
        frequency = 2000 ** (-torch.arange(0, WIDTH // 4, 2).double() / (WIDTH // 4))
        angles = torch.arange(text.ROWS).double()[:, None] * frequency
        self.register_buffer("table", torch.stack([angles.cos(), angles.sin()]).float(), persistent=False)

    def g(self, name):
        return self.p[name.replace(".", "|")]

    def weights(self, values=None):
        """The weights as the files have them; values: other tensors (the EMA) in the order of the parameters."""
        pairs = zip(self.p.keys(), values if values is not None else [p.detach() for p in self.p.values()])
        return _permute({n.replace("|", "."): v for n, v in pairs}, torch.argsort(_halves(WIDTH)))

    @torch.no_grad()
    def take(self, weights):
        for n, v in _permute({n: w.float() for n, w in weights.items()}, _halves(WIDTH)).items():
            self.g(n).copy_(v)

    def rope(self, positions):
        """positions [n, rows, 4] to cosines and sines [n, rows, 1, WIDTH / 2]."""
        cos, sin = self.table[0][positions].flatten(2), self.table[1][positions].flatten(2)
        return cos[:, :, None], sin[:, :, None]

    def forward(self, x, e, sigma, cos, sin, bias):
        """x [n, tokens, 128]: the noisy picture and its references; e [n, rows, EMBED]; bias [n, rows + tokens]. Returns the velocity of all tokens."""
        g = self.g
        w = torch.exp(-math.log(10000) * torch.arange(128, device=x.device) / 128)
        t = (sigma * 1000)[:, None] * w
        t = F.silu(F.linear(F.silu(F.linear(torch.cat([t.cos(), t.sin()], 1), g("time_guidance_embed.timestep_embedder.linear_1.weight"))), g("time_guidance_embed.timestep_embedder.linear_2.weight")))
        parts = lambda name, k: F.linear(t, g(name)).float()[:, None].chunk(k, -1)
        mi, mt = parts("double_stream_modulation_img.linear.weight", 6), parts("double_stream_modulation_txt.linear.weight", 6)
        ms = parts("single_stream_modulation.linear.weight", 3)
        mask = bias[:, None, None]
        h, c = F.linear(x, g("x_embedder.weight")).float(), F.linear(e, g("context_embedder.weight")).float()
        for i in range(DOUBLE):
            h, c = self.double(h, c, mi, mt, cos, sin, mask, [g(f"transformer_blocks.{i}.{name}") for name in DOUBLE_WEIGHTS])
        h = torch.cat([c, h], 1)
        for i in range(SINGLE):
            h = self.single(h, ms, cos, sin, mask, [g(f"single_transformer_blocks.{i}.{name}") for name in SINGLE_WEIGHTS])
        scale, shift = parts("norm_out.linear.weight", 2)
        return F.linear(_norm(h[:, e.shape[1] :], shift, scale), g("proj_out.weight"))


def sigmas(tokens, steps=4):
    """The σ that the sampler visits: linear from 1 to 1/steps, shifted by the reference's empirical mu."""
    ten, two_hundred = 8.73809524e-05 * tokens + 1.89833333, 0.00016927 * tokens + 0.45666666
    slope = (two_hundred - ten) / 190
    mu = math.exp(slope * (steps - 10) + ten)
    return [mu / (mu + 1 / s - 1) for s in (1 - i / steps for i in range(steps))]


class Data:
    """All shards in memory, their items by kind; draws batches of kept tokens."""

    def __init__(self, folder, seed):
        self.folder, self.files, self.rng = pathlib.Path(folder), [], random.Random(seed)
        self.shards, self.kinds = [], {n: [] for n in range(5)}
        self.grids = [(w // 16, h // 16) for w, h in dataset.SIZES]
        self.grow()

    def grow(self):
        for file in sorted(self.folder.glob("*.pt")):
            if file.name in self.files:
                continue
            s = torch.load(file, weights_only=True)
            s["items"] = s["items"].tolist()
            for row in s["items"]:
                self.kinds[row[0]].append((len(self.shards), row))
            self.shards.append(s)
            self.files.append(file.name)

    def choose(self, covered, count):
        """Picks TOKENS of a picture's `count`, in proportion under things and beside them: (indices, log of what each stands for)."""
        on, off = covered[:count].nonzero().flatten(), (~covered[:count]).nonzero().flatten()
        k = max(round(TOKENS * len(on) / count), TOKENS - len(off))
        picked, stands = [], []
        for group, n in ((on, k), (off, TOKENS - k)):
            picked.append(group[torch.randperm(len(group))[:n]])
            stands.append(torch.full((n,), math.log(max(len(group), 1) / max(n, 1))))
        return torch.cat(picked), torch.cat(stands)

    def rows(self):
        """Which of a caption's kept rows a sample sees."""
        words, pads = dataset.WORD_ROWS, dataset.ROWS_KEPT - dataset.PAD_ROWS
        seen = self.rng.sample(range(words), WORDS_SEEN) + list(range(words, pads)) + self.rng.sample(range(pads, dataset.ROWS_KEPT), PADS_SEEN)
        return sorted(seen)

    def batch(self, references, many):
        """Returns target, noise [n, K, 128], reference tokens [n, R, 128], e, positions, bias, σ, what each token counts [n, K]."""
        picked = [self.kinds[references][self.rng.randrange(len(self.kinds[references]))] for _ in range(many)]
        target, noise, refs, rows, positions, biases, levels, counts = [], [], [], [], [], [], [], []
        visits = torch.randperm(many)
        for at, (number, row) in enumerate(picked):
            s = self.shards[number]
            columns, lines = self.grids[s["size"][row[1]]]
            count = columns * lines
            covered = s["covered"][row[1]]
            if references == 1:
                covered = covered | s["covered"][row[2]]
            pick, weight = self.choose(covered, count)
            target.append(s["tokens"][row[1]][pick].float())
            counts.append(1 + (THING_COUNTS - 1) * covered[pick].float())
            z = torch.randn(len(pick), 128)
            if references == 0 and bool(covered.any()):
                for c, j, reach in zip(JITTER_CHANNELS, s["jitter"][row[1]].tolist(), world.JITTER):
                    u = min(max((j / reach + 1) / 2, 1e-3), 1 - 1e-3)
                    mean = (weight.exp() * z[:, c]).sum() / weight.exp().sum()
                    z[:, c] += math.sqrt(2) * torch.erfinv(torch.tensor(2 * u - 1)) / math.sqrt(count) - mean
            noise.append(z)
            grid = lambda index, columns, t: torch.stack([torch.full_like(index, t), index // columns, index % columns, torch.zeros_like(index)], 1)
            place, bias = [grid(pick, columns, 0)], [weight]
            for i in range(references):
                source = row[2 + i]
                if references == 1:
                    own, w = pick, weight
                    place.append(grid(own, columns, 10))
                else:
                    wide, high = self.grids[s["size"][source]]
                    own, w = self.choose(s["covered"][source], wide * high)
                    place.append(grid(own, wide, 10 + 10 * i))
                refs.append(s["tokens"][source][own].float())
                bias.append(w)
            caption = row[6] + self.rng.randrange(dataset.CAPTIONS)
            n = int(s["lengths"][caption])
            seen = self.rows()
            rows.append(s["rows"][caption][seen].float())
            l = s["places"][caption][seen]
            positions.append(torch.cat([torch.stack([torch.zeros_like(l)] * 3 + [l], 1)] + place))
            biases.append(torch.cat([text.stand_for(n, WORDS_SEEN, PADS_SEEN)] + bias))
            share = (int(visits[at]) + self.rng.random()) / many
            if share < 0.8:
                sigma = sigmas(count)[(0, 0, 1, 1, 2, 2, 3, 3)[int(share * 10)]]
                if sigma < 1:
                    sigma = min(0.999, sigma + self.rng.uniform(-0.01, 0.01))
            else:
                u = self.rng.random()
                sigma = 5 * u / (1 + 4 * u)
            levels.append(max(sigma, 1e-3))
        stack = torch.stack
        reference = stack(refs).view(many, -1, 128) if references else torch.zeros(many, 0, 128)
        return stack(target), stack(noise), reference, stack(rows), stack(positions), stack(biases), torch.tensor(levels), stack(counts)


def loss_of(flow, batch):
    target, noise, reference, e, positions, bias, sigma, counts = (b.to(run.DEVICE) for b in batch)
    s = sigma[:, None, None]
    x = torch.cat([(1 - s) * target + s * noise, reference], 1)
    with torch.autocast(run.DEVICE.type, torch.bfloat16, enabled=run.BF16):
        v = flow(x, e, sigma, *flow.rope(positions), bias)[:, : target.shape[1]].float()
    return ((v - (noise - target)).pow(2).mean(-1) * counts).sum() / counts.sum()


def train(rank, args):
    state = pathlib.Path(args.state)
    run.seed(3)
    flow = Flow(compiled=run.BF16)
    if args.init:
        from safetensors.torch import load_file

        flow.take(load_file(pathlib.Path(args.init) / "transformer" / "diffusion_pytorch_model.safetensors"))
    flow.to(run.DEVICE)
    params = list(flow.p.values())
    fused = lambda n: [HIDDEN] * 3 + [3 * HIDDEN] * 2 if "to_qkv_mlp" in n else [3 * HIDDEN] * 2 if "linear_in" in n else None
    matrices = [(p, fused(n)) for n, p in flow.p.items() if p.ndim == 2 and "blocks" in n]
    chosen = {id(p) for p, _ in matrices}
    optimiser = muon.Optimiser(matrices, [p for p in params if id(p) not in chosen], args.muon, args.adam, turns=2)
    ema = [p.detach().clone() for p in params]
    step, log = 0, run.Log(state / "flow.log") if rank == 0 else (lambda text: None)
    run.seed(30 + rank + (args.seed << 8))
    if saved := run.load(state / f"flow-{rank}.pt"):
        common = run.peek(state / "flow-0.pt")
        flow.load_state_dict(common["flow"])
        optimiser.restore(common["optimiser"])
        ema = [e.to(run.DEVICE) for e in common["ema"]]
        step = saved["step"]
    data = Data(state / "shards", 1000 * (step + 1) + rank)
    log(f"flow: {sum(p.numel() for p in params)} parameters, {len(data.shards)} shards, {[len(v) for v in data.kinds.values()]} items, step {step} of {args.steps}")
    sums, start = torch.zeros(3), time.time()
    while step < args.steps:
        optimiser.zero_grad()
        for kind, many in enumerate(SHARES):
            references = (0, 1, (2, 2, 2, 3, 2, 4)[step % 6])[kind]
            loss = loss_of(flow, data.batch(references, many))
            (loss * many / sum(SHARES)).backward()
            sums[kind] += loss.item()
        optimiser.step(run.rate(step, args.steps, flat=args.flat))
        if (step + 1) % AVERAGED == 0:
            run.average(params)
        with torch.no_grad():
            torch._foreach_lerp_(ema, [p.detach() for p in params], 1 - min(args.ema, (1 + step) / (10 + step)))
        step += 1
        if step % 20 == 0:
            data.grow() if args.grow else None
            log(f"flow: step {step} loss {' '.join(f'{x:.4f}' for x in (sums / 20).tolist())} {sum(SHARES) * args.ranks * 20 / (time.time() - start):.1f} samples/s, shards {len(data.shards)}")
            sums.zero_()
            start = time.time()
        if step % 50 == 0 or step == args.steps:
            own = {"step": step}
            run.save(state / f"flow-{rank}.pt", own | ({"flow": flow.state_dict(), "optimiser": optimiser.state(), "ema": ema} if rank == 0 else {}))


def main():
    args = argparse.ArgumentParser()
    args.add_argument("state")
    args.add_argument("--ranks", type=int, default=run.RANKS)
    args.add_argument("--steps", type=int, default=5650)
    args.add_argument("--muon", type=float, default=0.02)
    args.add_argument("--adam", type=float, default=2e-3)
    args.add_argument("--ema", type=float, default=0.997)
    args.add_argument("--flat", type=float, default=0.4)
    args.add_argument("--seed", type=int, default=0)
    args.add_argument("--init", help="start from the weights of this model")
    args.add_argument("--grow", action="store_true", help="take up shards that appear while training (not reproducible)")
    args = args.parse_args()
    run.ranks(train, args, "flow")


if __name__ == "__main__":
    main()
