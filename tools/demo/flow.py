"""The transformer: its configuration and its training in several processes.

    python flow.py STATE [--ranks 2] [--steps N] [--more N] [--init FOLDER]

The loss is that of the velocity. These measures make the training affordable on a CPU:

- Of the 512 text rows, training uses 12: WORDS_SEEN words, the tail of the template and PADS_SEEN of the padding. Of
  the 126 to 144 tokens of a picture it uses TOKENS, so that pictures of all sizes fit into one batch. Each row or
  token represents others that are left out: the logarithm of their number is added to its attention logits. The
  choice is random in every step.
- Products are computed in bf16 if the processor supports it (run.BF16), and then the blocks are compiled.
- σ is drawn near the values that four steps visit (1, 0.955, 0.876, 0.702 for a picture of this size), and in a fifth
  of the cases from the whole range.
- The noise determines the jitter: the means of two of its channels over the picture are the normal deviates of the
  jitter's x and y. The noise stays standard normal, because the jitter is uniform. So a caption and a noise have a
  single answer, which needs few steps.
"""

import argparse
import math
import pathlib
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
    in_channels=128, joint_attention_dim=text.EMBED, guidance_embeds=False, timestep_guidance_channels=256,
    mlp_ratio=3.0, num_layers=DOUBLE,
    num_single_layers=SINGLE, num_attention_heads=HEADS, attention_head_dim=WIDTH, axes_dims_rope=(WIDTH // 4,) * 4,
    rope_theta=2000,
)  # fmt: skip
AVERAGED = 10  # steps between two averagings over the processes
JITTER_CHANNELS = (0, 1)
TOKENS = 126  # used of a picture: all tokens of the smallest size
# The largest deviation of the noise that is added to half of the references, because pictures made by the model are not
# as clean as drawings.
REFERENCE_NOISE = 0.2
# Used of each reference of a composition: the tokens under things, and as many of the backdrop as fit.
REFERENCE_TOKENS = 64
# The weight in the loss of a token under a thing, and of a token that an edit changes by CHANGE or more on average;
# other tokens have weight 1.
THING_COUNTS, CHANGE_COUNTS, CHANGE = 3, 9, 0.3
WORDS_SEEN, PADS_SEEN = 1, 2  # used of the stored rows; the tail of the template is used completely
# Samples of each process in a step: descriptions, edits, compositions. Compositions have two, three and four pictures
# in turn, mostly two. The first third of the training uses mostly descriptions: they cost half as much, and what the
# model learns about drawing helps with the others. Compositions are learnt slowest and are more frequent at the end. A
# GPU takes larger batches.
if run.DEVICE.type == "cuda":
    EARLY_SHARES, SHARES, LAST_SHARES = (200, 28, 18), (128, 64, 48), (90, 64, 90)
else:
    EARLY_SHARES, SHARES, LAST_SHARES = (22, 3, 2), (14, 7, 6), (10, 7, 10)


def _halves(n):
    return torch.cat([torch.arange(0, n, 2), torch.arange(1, n, 2)])


def _permute(weights, order):
    """Reorders the channels of every query and key head: RoPE rotates the two halves of a head here, but adjacent pairs
    in the files."""
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
    """q, k, v are [n, rows, HEADS, WIDTH]; mask [n, 1, 1, rows] is added to the logits. Returns [n, rows, HIDDEN]."""

    def turn(x):
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).transpose(1, 2)

    # Not the fused attention, whose backward pass is slow in bf16 on processors; about 150 rows are few.
    logits = (turn(q) * WIDTH**-0.5) @ turn(k).transpose(2, 3)
    return (torch.softmax(logits + mask, -1) @ v.transpose(1, 2)).transpose(1, 2).flatten(2)


def _feed(h, into, out):
    a, b = F.linear(h, into).chunk(2, -1)
    return F.linear(F.silu(a) * b, out)


DOUBLE_WEIGHTS = [
    *(f"attn.{n}.weight" for n in ("to_q", "to_k", "to_v", "norm_q", "norm_k", "to_out.0")), "ff.linear_in.weight",
    "ff.linear_out.weight",
    *(f"attn.{n}.weight" for n in ("add_q_proj", "add_k_proj", "add_v_proj", "norm_added_q", "norm_added_k",
        "to_add_out")),
    "ff_context.linear_in.weight", "ff_context.linear_out.weight",
]  # fmt: skip


def double_block(h, c, mi, mt, cos, sin, mask, weights):
    """Applies a double block to h [n, tokens, HIDDEN] and c [n, rows, HIDDEN]. mi and mt are shift, scale and gate of
    attention, then of the MLP, for image and text."""
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
    """Applies a single block to h [n, rows + tokens, HIDDEN]. m is its shift, scale and gate."""
    q, k, v, u, d = F.linear(_norm(h, m[0], m[1]), weights[0]).split([HIDDEN] * 3 + [3 * HIDDEN] * 2, -1)
    o = _attend(_rms(_heads(q), weights[1]), _rms(_heads(k), weights[2]), _heads(v), cos, sin, mask)
    return h + m[2] * F.linear(torch.cat([o, F.silu(u) * d], -1), weights[3])


class Flow(nn.Module):
    """Flux2Transformer2DModel with an attention bias for each key, and positions for each sample. Its parameters have
    the same names, with bars for dots."""

    def __init__(self, compiled=False):
        super().__init__()
        from diffusers import Flux2Transformer2DModel

        torch._dynamo.config.recompile_limit = 16  # two sets of shares, each with none to four references
        self.double, self.single = (torch.compile(f, dynamic=False) if compiled else f
            for f in (double_block, single_block))

        named = Flux2Transformer2DModel(**CONFIG).named_parameters()
        self.p = nn.ParameterDict({n.replace(".", "|"): nn.Parameter(p.detach().clone()) for n, p in named})
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

    def weights(self, values):
        """Returns values, tensors in the order of the parameters, under the names and in the channel order of the
        files."""
        return _permute({n.replace("|", "."): v for n, v in zip(self.p.keys(), values)}, torch.argsort(_halves(WIDTH)))

    @torch.no_grad()
    def take(self, weights):
        for n, v in _permute({n: w.float() for n, w in weights.items()}, _halves(WIDTH)).items():
            self.g(n).copy_(v)

    def rope(self, positions):
        """Returns the cosines and sines [n, rows, 1, WIDTH / 2] for positions [n, rows, 4]."""
        cos, sin = self.table[0][positions].flatten(2), self.table[1][positions].flatten(2)
        return cos[:, :, None], sin[:, :, None]

    def forward(self, x, e, sigma, cos, sin, bias):
        """x [n, tokens, 128] holds the noisy picture and its references, e is [n, rows, EMBED], bias [n, rows +
        tokens]. Returns the velocity of all tokens."""
        g = self.g
        w = torch.exp(-math.log(10000) * torch.arange(128, device=x.device) / 128)
        t = (sigma * 1000)[:, None] * w
        embedder = "time_guidance_embed.timestep_embedder"
        t = F.silu(F.linear(torch.cat([t.cos(), t.sin()], 1), g(f"{embedder}.linear_1.weight")))
        t = F.silu(F.linear(t, g(f"{embedder}.linear_2.weight")))
        parts = lambda name, k: F.linear(t, g(name)).float()[:, None].chunk(k, -1)
        mi = parts("double_stream_modulation_img.linear.weight", 6)
        mt = parts("double_stream_modulation_txt.linear.weight", 6)
        ms = parts("single_stream_modulation.linear.weight", 3)
        mask = bias[:, None, None]
        h, c = F.linear(x, g("x_embedder.weight")).float(), F.linear(e, g("context_embedder.weight")).float()
        for i in range(DOUBLE):
            h, c = self.double(h, c, mi, mt, cos, sin, mask,
                [g(f"transformer_blocks.{i}.{name}") for name in DOUBLE_WEIGHTS])
        h = torch.cat([c, h], 1)
        for i in range(SINGLE):
            h = self.single(h, ms, cos, sin, mask,
                [g(f"single_transformer_blocks.{i}.{name}") for name in SINGLE_WEIGHTS])
        scale, shift = parts("norm_out.linear.weight", 2)
        return F.linear(_norm(h[:, e.shape[1] :], shift, scale), g("proj_out.weight"))


def sigmas(tokens, steps=4):
    """Returns the σ that the sampler visits: linear from 1 to 1/steps, then shifted by the reference's empirical mu."""
    ten, two_hundred = 8.73809524e-05 * tokens + 1.89833333, 0.00016927 * tokens + 0.45666666
    slope = (two_hundred - ten) / 190
    mu = math.exp(slope * (steps - 10) + ten)
    return [mu / (mu + 1 / s - 1) for s in (1 - i / steps for i in range(steps))]


class Data:
    """One process's share of the shards, or all of them if there are fewer shards than processes, on the device. It
    draws batches."""

    def __init__(self, folder, rank=0, ranks=1):
        files = sorted(pathlib.Path(folder).glob("*.pt"))
        shards = [torch.load(f, weights_only=True) for f in files[rank::ranks] or files]
        items, pictures, texts = [], 0, 0
        for s in shards:  # pictures and captions get consecutive numbers over all shards
            i = s["items"]
            i[:, 1:6] += torch.where(i[:, 1:6] < 0, 0, pictures)
            i[:, 6] += texts
            items.append(i)
            pictures += len(s["size"])
            texts += len(s["lengths"])
        joined = lambda name: torch.cat([s.pop(name) for s in shards]).to(run.DEVICE)
        self.tokens, self.covered, self.jitter = joined("tokens"), joined("covered"), joined("jitter")
        self.words, self.places, self.lengths = joined("rows"), joined("places"), joined("lengths")
        self.grid = torch.tensor(dataset.SIZES, device=run.DEVICE)[joined("size")] // 16  # columns, lines
        items = torch.cat(items).to(run.DEVICE)
        self.kinds = [items[items[:, 0] == n] for n in range(5)]
        self.shards = len(shards)
        counts = range(dataset.MOST + 1)
        self.sigmas = torch.tensor([sigmas(n) for n in counts], device=run.DEVICE)

    def choose(self, covered, count, tokens=TOKENS, things_first=False):
        """Picks `tokens` tokens of each picture, which has `count` [n]. Tokens under things (covered [n, MOST]) are
        picked in proportion or, with things_first, all of them as far as eight tokens of the backdrop still fit.

        Returns the indices and the logarithm of how many tokens each of them represents, both [n, tokens].
        """
        inside = torch.arange(dataset.MOST, device=run.DEVICE) < count[:, None]
        covered = covered & inside
        on = covered.sum(1, keepdim=True)
        off = count[:, None] - on
        k = on.clamp(max=tokens - 8) if things_first else (tokens * on / count[:, None]).round().long()
        k = torch.maximum(k, tokens - off)
        # The covered tokens in random order, then the others in random order, then the places without a token.
        order = (torch.rand(covered.shape, device=run.DEVICE) + 2.0 * ~covered + 4.0 * ~inside).argsort(1)
        slot = torch.arange(tokens, device=run.DEVICE)
        first = slot < k
        picked = order.gather(1, torch.where(first, slot, on + slot - k))
        return picked, torch.where(first, on / k.clamp(min=1), off / (tokens - k).clamp(min=1)).log()

    def seen(self, caption):
        """Picks some of the stored rows of each caption. Returns the rows [n, rows, EMBED], their positions, and the
        logarithm of how many rows each of them represents."""
        words, pads = dataset.WORD_ROWS, dataset.ROWS_KEPT - dataset.PAD_ROWS
        some = lambda of, n: torch.rand(len(caption), of, device=run.DEVICE).argsort(1)[:, :n].sort(1)[0]
        tail = torch.arange(words, pads, device=run.DEVICE).expand(len(caption), -1)
        rows = torch.cat([some(words, WORDS_SEEN), tail, pads + some(dataset.PAD_ROWS, PADS_SEEN)], 1)
        take = lambda x: x[caption[:, None], rows]
        return take(self.words).float(), take(self.places), text.stand_for(self.lengths[caption], WORDS_SEEN, PADS_SEEN)

    def noise(self, items, covered, stands):
        """Returns noise [n, TOKENS, 128]. For a described picture with things, it determines the jitter."""
        z = torch.randn(*stands.shape, 128, device=run.DEVICE)
        if items[0, 0] == 0:
            weight, told = stands.exp(), covered.any(1)
            share = (self.jitter[items[:, 1]] / torch.tensor(world.JITTER, device=run.DEVICE) + 1) / 2
            deviates = math.sqrt(2) * torch.erfinv(2 * share.clamp(1e-3, 1 - 1e-3) - 1)
            means = deviates / weight.sum(1, keepdim=True).sqrt()
            for c, mean in zip(JITTER_CHANNELS, means.T):
                off = mean - (weight * z[..., c]).sum(1) / weight.sum(1)
                z[..., c] += torch.where(told, off, 0)[:, None]
        return z

    def clouded(self, reference):
        """Returns references [n, R, 128] with some noise added to half of them."""
        deviation = REFERENCE_NOISE * (2 * torch.rand(len(reference), 1, 1, device=run.DEVICE) - 1).clamp(min=0)
        return reference + deviation * torch.randn_like(reference)

    def levels(self, count):
        """Returns σ [n]: four fifths of the batch are spread evenly over the sampler's four values, the rest over the
        whole range."""
        n = len(count)
        share = (torch.randperm(n, device=run.DEVICE) + torch.rand(n, device=run.DEVICE)) / n
        visited = self.sigmas[count].gather(1, (share * 5).long().clamp(max=3)[:, None])[:, 0]
        near = (visited + torch.empty_like(visited).uniform_(-0.01, 0.01)).clamp(max=0.999)
        u = torch.rand(n, device=run.DEVICE)
        return torch.where(share < 0.8, torch.where(visited < 1, near, visited), 5 * u / (1 + 4 * u)).clamp(min=1e-3)

    def batch(self, references, many):
        """Returns target and noise [n, K, 128], reference tokens [n, R, 128], text rows, positions, bias, σ, and the
        weights of tokens [n, K]."""
        kind = self.kinds[references]
        items = kind[torch.randint(len(kind), (many,), device=run.DEVICE)]

        def place(picture, picked, t):
            columns = self.grid[picture, :1]
            return torch.stack([torch.full_like(picked, t), picked // columns, picked % columns,
                torch.zeros_like(picked)], 2)

        target = items[:, 1]
        count, covered = self.grid[target].prod(1), self.covered[target]
        if references == 1:  # an edit: tokens under a thing before or after it
            covered = covered | self.covered[items[:, 2]]
        picked, stands = self.choose(covered, count)
        e, l, bias = self.seen(items[:, 6] + torch.randint(dataset.CAPTIONS, (many,), device=run.DEVICE))
        biases, places = [bias, stands], [torch.stack([torch.zeros_like(l)] * 3 + [l], 2), place(target, picked, 0)]
        others = []
        for i in range(references):
            picture = items[:, 2 + i]
            own, weight = picked, stands
            if references > 1:
                tokens = self.grid[picture].prod(1)
                own, weight = self.choose(self.covered[picture], tokens, REFERENCE_TOKENS, things_first=True)
            others.append(self.tokens[picture[:, None], own].float())
            places.append(place(picture, own, 10 + 10 * i))
            biases.append(weight)
        reference = torch.cat(others, 1) if others else torch.zeros(many, 0, 128, device=run.DEVICE)
        wanted = self.tokens[target[:, None], picked].float()
        counts = 1 + (THING_COUNTS - 1) * covered.gather(1, picked).float()
        if references == 1:  # most edits change a few tokens and some change all; every edit gets the same weight
            counts = torch.where((wanted - reference).abs().mean(-1) > CHANGE, CHANGE_COUNTS, counts)
            counts = counts / counts.mean(1, keepdim=True)
        reference = self.clouded(reference)
        return (
            wanted, self.noise(items, covered, stands), reference, e, torch.cat(places, 1), torch.cat(biases, 1),
            self.levels(count), counts,
        )  # fmt: skip


def loss_of(flow, batch):
    target, noise, reference, e, positions, bias, sigma, counts = batch
    s = sigma[:, None, None]
    x = torch.cat([(1 - s) * target + s * noise, reference], 1)
    with torch.autocast(run.DEVICE.type, torch.bfloat16, enabled=run.BF16):
        v = flow(x, e, sigma, *flow.rope(positions), bias)[:, : target.shape[1]].float()
    return ((v - (noise - target)).pow(2).mean(-1) * counts).sum() / counts.sum()


def phase(step, steps, more):
    """Returns the shares and the learning rate's factor for a step: `steps` begin at 1, then `more` at one half; each
    phase falls to nearly 0."""
    if step < steps:
        return EARLY_SHARES if step < 0.35 * steps else SHARES, run.rate(step, steps, flat=0.4)
    return LAST_SHARES, run.rate(step - steps, more, flat=0) / 2


def train(rank, args):
    state = pathlib.Path(args.state)
    run.seed(3)
    flow = Flow(compiled=run.BF16 and not args.eager)
    if args.init:
        from safetensors.torch import load_file

        flow.take(load_file(pathlib.Path(args.init) / "transformer" / "diffusion_pytorch_model.safetensors"))
    flow.to(run.DEVICE)
    params = list(flow.p.values())

    def fused(n):
        if "to_qkv_mlp" in n:
            return [HIDDEN] * 3 + [3 * HIDDEN] * 2
        return [3 * HIDDEN] * 2 if "linear_in" in n else None

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
    data, last = Data(state / "shards", rank, args.ranks), args.steps + args.more
    items = [len(v) for v in data.kinds]
    log(f"flow: {sum(p.numel() for p in params)} parameters, {data.shards} shards, {items} items a process, "
        f"step {step} of {last}")
    sums, start = torch.zeros(3, device=run.DEVICE), time.time()
    while step < last:
        optimiser.zero_grad()
        shares, rate = phase(step, args.steps, args.more)
        for kind, many in enumerate(shares):
            references = (0, 1, (2, 2, 2, 3, 2, 4)[step % 6])[kind]
            loss = loss_of(flow, data.batch(references, many))
            (loss * many / sum(shares)).backward()
            sums[kind] += loss.detach()
        optimiser.step(rate)
        if (step + 1) % AVERAGED == 0:
            run.average(params)
        with torch.no_grad():
            torch._foreach_lerp_(ema, [p.detach() for p in params], 1 - min(args.ema, (1 + step) / (10 + step)))
        step += 1
        if step % 20 == 0:
            losses = " ".join(f"{x:.4f}" for x in (sums / 20).tolist())
            speed = sum(shares) * args.ranks * 20 / (time.time() - start)
            log(f"flow: step {step} loss {losses} {speed:.1f} samples/s")
            sums.zero_()
            start = time.time()
        if step % 50 == 0 or step == last:
            own = {"step": step}
            if rank == 0:
                own |= {"flow": flow.state_dict(), "optimiser": optimiser.state(), "ema": ema}
            run.save(state / f"flow-{rank}.pt", own)


def main():
    args = argparse.ArgumentParser()
    args.add_argument("state")
    args.add_argument("--ranks", type=int, default=run.RANKS)
    args.add_argument("--steps", type=int, default=6200)
    args.add_argument("--more", type=int, default=1400, help="further steps at half the rate and with LAST_SHARES")
    args.add_argument("--muon", type=float, default=0.02)
    args.add_argument("--adam", type=float, default=2e-3)
    args.add_argument("--ema", type=float, default=0.997)
    args.add_argument("--seed", type=int, default=0)
    args.add_argument("--eager", action="store_true",
        help="do not compile the blocks: steps are slower but start at once")
    args.add_argument("--init", help="start from the weights of this model")
    args = args.parse_args()
    run.ranks(train, args, "flow")


if __name__ == "__main__":
    main()
