"""The tokenizer and the text encoder: their training, and the encoding of prompts for the transformer.

    python text.py STATE       trains both and writes STATE/tokenizer and STATE/text_encoder

The encoder is a Qwen3. Its hidden states 9, 18 and 27 must allow a linear layer to read the answers of
captions.answers: all answers from the last row of the template and from any row of the padding, and a part of them from
each of the first rows of the template's tail. The first six of these rows answer what stands in one of the six places,
all in the same form; the next row answers the setting, and the next one the edit. So the transformer need not analyse a
scene: everything about a place is in one row, which it finds by the position from which it looks. The encoder is frozen
afterwards.

Only the layers LIVE are trained. The others are zero and pass the state through: the reference reads state 27 of a
model with 28 layers, but so small a language needs no such depth.
"""

import argparse
import json
import math
import pathlib
import random

import torch
import torch.nn as nn
import torch.nn.functional as F
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import captions
import muon
import run

HEAD, TAIL = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
ROWS = 512
LAYERS, LIVE = 28, [0, 1, 2, 3, 4, 9, 18]
HIDDEN, HEADS, WIDTH, MLP = 96, 4, 32, 192
STATES = (9, 18, 27)
EMBED = len(STATES) * HIDDEN
BATCH, AVERAGED = 64, 10
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + [f"<|{n}|>" for n in (
    "object_ref_start", "object_ref_end", "box_start", "box_end", "quad_start", "quad_end", "vision_start",
    "vision_end", "vision_pad", "image_pad", "video_pad",
)]  # fmt: skip
PLAIN = ["<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
    "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>"]  # fmt: skip
# The output of Qwen's chat template for one user message, with thinking disabled or, as in Qwen, left open.
TEMPLATE = """{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""


def build_tokenizer(folder):
    """Trains a byte-level BPE in the form of Qwen2 on captions, and writes the tokenizer to folder."""
    rng = random.Random(3)
    texts = [captions.read_marks(captions.training_example(rng)[0])[0] for _ in range(40000)]
    texts += [HEAD.removeprefix("<|im_start|>"), "assistant\n", "\n\n"] * 400
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    words = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
             r"|\s+(?!\S)|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(words), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=1500, min_frequency=20, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in SPECIAL])
    tokenizer.add_tokens([AddedToken(t, normalized=False, special=False) for t in PLAIN])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "add_prefix_space": False, "bos_token": None, "clean_up_tokenization_spaces": False, "eos_token": "<|im_end|>",
        "errors": "replace",
        "extra_special_tokens": SPECIAL[1:], "model_max_length": 131072, "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer", "unk_token": None,
    }, indent=2) + "\n")  # fmt: skip


def stand_for(lengths, words, pads):
    """Returns the logarithm of how many of a text's ROWS rows each used row represents, [n, words + TAIL_LENGTH +
    pads]. Of the words, `words` rows are used; of the template's tail, all rows; of the padding, `pads` rows. lengths
    is [n].
    """
    tail = torch.ones_like(lengths), TAIL_LENGTH
    shares = ((lengths - TAIL_LENGTH) / words, words), tail, ((ROWS - lengths) / pads, pads)
    return torch.cat([share[:, None].expand(-1, count) for share, count in shares], 1).log()


PARAMETERS = "input_norm", "post_norm", "q_norm", "k_norm", "qkv", "o", "gate_up", "down"


def _layer(h, cos, sin, mask, input_norm, post_norm, q_norm, k_norm, qkv, o, gate_up, down):
    """Applies a layer with these PARAMETERS to h [n, rows, HIDDEN]. mask [n, 1, rows, rows] is added to the logits."""
    n, rows = h.shape[:2]
    norm = lambda x, w: x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-6) * w
    turn = lambda x: x * cos + torch.cat([-x[..., WIDTH // 2 :], x[..., : WIDTH // 2]], -1) * sin
    q, k, v = F.linear(norm(h, input_norm), qkv).view(n, rows, 3, HEADS, WIDTH).permute(2, 0, 3, 1, 4)
    # Not the fused attention, whose backward pass is slow in bf16 on processors, and which so few rows do not need.
    logits = (turn(norm(q, q_norm)) * WIDTH**-0.5) @ turn(norm(k, k_norm)).transpose(2, 3)
    h = h + F.linear((torch.softmax(logits + mask, -1) @ v).transpose(1, 2).flatten(2), o)
    gate, up = F.linear(norm(h, post_norm), gate_up).chunk(2, -1)
    return h + F.linear(F.silu(gate) * up, down)


class Encoder(nn.Module):
    """The live layers of the Qwen3. The positions of rows are given, so that a few rows of padding suffice: each
    attends only to the prompt."""

    def __init__(self, vocabulary, compiled=False):
        super().__init__()
        self.layer = torch.compile(_layer, dynamic=True) if compiled else _layer
        inner = HEADS * WIDTH
        self.embed = nn.Embedding(vocabulary, HIDDEN)
        matrix = lambda rows, columns, gain=1.0: nn.Parameter(torch.randn(rows, columns) * gain * columns**-0.5)
        self.layers = nn.ModuleList()
        for _ in LIVE:
            layer = nn.Module()
            layer.input_norm, layer.post_norm = nn.Parameter(torch.ones(HIDDEN)), nn.Parameter(torch.ones(HIDDEN))
            layer.q_norm, layer.k_norm = nn.Parameter(torch.ones(WIDTH)), nn.Parameter(torch.ones(WIDTH))
            layer.qkv = matrix(3 * inner, HIDDEN)
            layer.o = matrix(HIDDEN, inner, len(LIVE) ** -0.5)
            layer.gate_up = matrix(2 * MLP, HIDDEN)
            layer.down = matrix(HIDDEN, MLP, len(LIVE) ** -0.5)
            self.layers.append(layer)

    def forward(self, ids, positions, lengths):
        """ids and positions are [n, rows], with the real rows before the padding; lengths is [n]. Returns [n, rows,
        EMBED]."""
        index = torch.arange(ids.shape[1], device=ids.device)
        seen = (index[None, :] <= index[:, None])[None] & (index[None, None] < lengths[:, None, None])
        mask = torch.where(seen, 0.0, -torch.inf)[:, None]
        angles = positions[..., None].float() * (1e6 ** (-torch.arange(0, WIDTH, 2, device=ids.device).float() / WIDTH))
        cos, sin = angles.cos().repeat(1, 1, 2)[:, None], angles.sin().repeat(1, 1, 2)[:, None]
        h, states = self.embed(ids), []
        live = dict(zip(LIVE, self.layers))
        for i in range(max(STATES)):
            if i in live:
                h = self.layer(h, cos, sin, mask, *(getattr(live[i], name) for name in PARAMETERS))
            if i + 1 in STATES:
                states.append(h)
        return torch.cat(states, -1)

    def export(self, folder):
        """Writes the Qwen3 with 28 layers to folder."""
        from transformers import Qwen3Config, Qwen3ForCausalLM

        inner = HEADS * WIDTH
        model = Qwen3ForCausalLM(Qwen3Config(
            vocab_size=self.embed.num_embeddings, hidden_size=HIDDEN, intermediate_size=MLP, num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=HEADS, head_dim=WIDTH, max_position_embeddings=40960, rms_norm_eps=1e-6,
            rope_theta=1000000,
            tie_word_embeddings=True, attention_bias=False, bos_token_id=None, eos_token_id=None,
        ))  # fmt: skip
        with torch.no_grad():
            for p in model.parameters():
                p.fill_(1.0 if p.ndim == 1 else 0.0)
            model.model.embed_tokens.weight.copy_(self.embed.weight)
            for i, p in zip(LIVE, self.layers):
                to = model.model.layers[i]
                to.input_layernorm.weight.copy_(p.input_norm)
                to.post_attention_layernorm.weight.copy_(p.post_norm)
                to.self_attn.q_norm.weight.copy_(p.q_norm)
                to.self_attn.k_norm.weight.copy_(p.k_norm)
                for name, part in zip("qkv", p.qkv.split(inner)):
                    getattr(to.self_attn, f"{name}_proj").weight.copy_(part)
                to.self_attn.o_proj.weight.copy_(p.o)
                gate, up = p.gate_up.chunk(2)
                to.mlp.gate_proj.weight.copy_(gate)
                to.mlp.up_proj.weight.copy_(up)
                to.mlp.down_proj.weight.copy_(p.down)
        model.to(torch.bfloat16).save_pretrained(folder)

    @torch.no_grad()
    def take(self, weights):
        """Copies the live layers from the tensors of an exported text encoder."""
        self.embed.weight.copy_(weights["model.embed_tokens.weight"])
        for i, p in zip(LIVE, self.layers):
            get = lambda name: weights[f"model.layers.{i}.{name}.weight"].float()
            p.input_norm.copy_(get("input_layernorm"))
            p.post_norm.copy_(get("post_attention_layernorm"))
            p.q_norm.copy_(get("self_attn.q_norm"))
            p.k_norm.copy_(get("self_attn.k_norm"))
            p.qkv.copy_(torch.cat([get(f"self_attn.{n}_proj") for n in "qkv"]))
            p.o.copy_(get("self_attn.o_proj"))
            p.gate_up.copy_(torch.cat([get("mlp.gate_proj"), get("mlp.up_proj")]))
            p.down.copy_(get("mlp.down_proj"))


class Prompts:
    """Tokenizes prompts with the chat template around them."""

    def __init__(self, folder):
        self.tokenizer = Tokenizer.from_file(str(pathlib.Path(folder) / "tokenizer.json"))
        self.pad = self.tokenizer.token_to_id("<|endoftext|>")
        self.vocabulary = self.tokenizer.get_vocab_size()

    def encode(self, texts):
        return self.tokenizer.encode_batch([HEAD + t + TAIL for t in texts])

    def ids(self, texts):
        return [e.ids for e in self.encode(texts)]

    def rows(self, ids, padding, rng):
        """Pads all ids to one length and adds `padding` rows of padding at random positions below 512. Returns ids and
        positions [n, rows], and lengths [n]."""
        longest = max(map(len, ids))
        out = torch.full((len(ids), longest + padding), self.pad)
        positions = torch.arange(longest + padding).repeat(len(ids), 1)
        for i, row in enumerate(ids):
            out[i, : len(row)] = torch.tensor(row)
            positions[i, longest:] = torch.tensor([rng.randrange(len(row), ROWS) for _ in range(padding)])
        return out.to(run.DEVICE), positions.to(run.DEVICE), torch.tensor([len(row) for row in ids], device=run.DEVICE)


def load(folder):
    """Returns the frozen encoder of an exported model, and its tokenizer."""
    from safetensors.torch import load_file

    prompts = Prompts(pathlib.Path(folder) / "tokenizer")
    encoder = Encoder(prompts.vocabulary)
    encoder.take(load_file(pathlib.Path(folder) / "text_encoder" / "model.safetensors"))
    return encoder.eval().requires_grad_(False).to(run.DEVICE), prompts


PADDING = 2
# The rows of the template after the prompt, and which of captions.HEADS the first eight of them answer. HEADS contains
# kinds, colours, sizes and sources of six places, then the setting, then the edit.
TAIL_LENGTH, PLACES = 9, 6
THING = [range(first, 4 * PLACES, PLACES) for first in range(PLACES)]
SETTING, EDIT = range(24, 28), range(28, 34)


class Questions(nn.Module):
    """Linear layers that read answers from rows: whole reads all answers; thing, setting and edit read those of their
    rows; naming reads what a noun phrase names."""

    def __init__(self):
        super().__init__()
        sizes = [n for _, n in captions.HEADS]
        linear = lambda width, some: nn.Linear(width, sum(some))
        self.whole, self.thing = linear(EMBED, sizes), linear(EMBED, [sizes[i] for i in THING[0]])
        self.setting, self.edit = linear(EMBED, [sizes[i] for i in SETTING]), linear(EMBED, [sizes[i] for i in EDIT])
        self.naming = linear(HIDDEN, [n for _, n in captions.MARKED])

    def answers(self, h, lengths):
        """Returns (logits, index of the head) for every answer: from the last row of the template, from the padding,
        then from the rows of the parts."""
        n = len(lengths)
        row = lambda k: h[torch.arange(n, device=h.device), lengths - TAIL_LENGTH + k]
        sizes = [size for _, size in captions.HEADS]
        complete = [row(TAIL_LENGTH - 1)] + [h[:, -1 - k] for k in range(PADDING)]
        out = [(o, j) for r in complete for j, o in enumerate(self.whole(r).split(sizes, -1))]
        parts = [(self.thing, k, THING[k]) for k in range(PLACES)]
        parts += [(self.setting, PLACES, SETTING), (self.edit, PLACES + 1, EDIT)]
        for linear, k, heads in parts:
            out += [(o, j) for j, o in zip(heads, linear(row(k)).split([sizes[j] for j in heads], -1))]
        return out


def train(rank, args):
    state = pathlib.Path(args.state)
    run.seed(2)
    log = run.Log(state / "text.log") if rank == 0 else (lambda text: None)
    prompts = Prompts(state / "tokenizer")
    encoder = Encoder(prompts.vocabulary, compiled=run.BF16 and not args.eager).to(run.DEVICE)
    questions = Questions().to(run.DEVICE)
    count = len(captions.HEADS)
    matrices = [p for n, p in encoder.named_parameters() if p.ndim == 2 and "embed" not in n]
    inner = HEADS * WIDTH
    rows = lambda p: [inner] * 3 if p.shape[0] == 3 * inner else [MLP] * 2 if p.shape[0] == 2 * MLP else None
    others = [p for n, p in encoder.named_parameters() if p.ndim != 2 or "embed" in n] + list(questions.parameters())
    optimiser = muon.Optimiser([(p, rows(p)) for p in matrices], others, 0.02, 3e-3, turns=2)
    params = matrices + others
    step, rng = 0, random.Random(500 + rank)
    if (state / "text.pt").exists():
        saved = run.peek(state / "text.pt")
        encoder.load_state_dict(saved["encoder"])
        questions.load_state_dict(saved["questions"])
        optimiser.restore(saved["optimiser"])
        step = saved["step"]
        rng = random.Random(500 + rank + 100 * step)

    def examples(many, rng):
        """Returns [(ids, answers, [(row, classes) of every mark])], sorted by length."""
        pairs = [captions.training_example(rng) for _ in range(many)]
        plain = [captions.read_marks(t) for t, _ in pairs]
        out = []
        for e, (_, m), (_, marks) in zip(prompts.encode([t for t, _ in plain]), pairs, plain):
            row = lambda end: next(i for i, (_, b) in enumerate(e.offsets) if b >= len(HEAD) + end)
            out.append((e.ids, captions.answers(m), [(row(end), classes) for end, classes in marks]))
        return sorted(out, key=lambda p: len(p[0]))

    def measure():
        r = random.Random(77)
        right, n = torch.zeros(3, count + 1), 0
        pairs = examples(480, r)
        with torch.no_grad():
            for i in range(0, len(pairs), 96):
                ids, positions, lengths = prompts.rows([p[0] for p in pairs[i : i + 96]], PADDING, r)
                h = encoder(ids, positions, lengths)
                y = torch.tensor([p[1] for p in pairs[i : i + 96]], device=run.DEVICE)
                told = [(o.argmax(-1) == y[:, j], j) for o, j in questions.answers(h, lengths)]
                # From the template's last row, from the padding, and from the rows of the parts.
                for k, some in enumerate((told[:count], told[count : 2 * count], told[-count:])):
                    ok = torch.stack([right for right, _ in sorted(some, key=lambda p: p[1])], 1)
                    right[k] += torch.cat([ok, ok.all(1, keepdim=True)], 1).float().sum(0).cpu()
                n += len(ids)
        right /= n
        worst = right[2, :-1].argsort()[:4].tolist()
        shares = lambda values: " ".join(f"{v:.4f}" for v in values.tolist())
        worst = " ".join(f"{captions.HEADS[j][0]}:{j}={right[2, j]:.3f}" for j in worst)
        return f"answers {shares(right[:, :-1].mean(1))} all right {shares(right[:, -1])} worst {worst}"

    log(f"text: {sum(p.numel() for p in encoder.parameters())} live parameters, vocabulary {prompts.vocabulary}, "
        f"step {step} of {args.steps}")
    queue = []
    while step < args.steps:
        if not queue:
            pairs = examples(BATCH * 8, rng)
            queue = [pairs[i : i + BATCH] for i in range(0, len(pairs), BATCH)]
            rng.shuffle(queue)
        pairs = queue.pop()
        ids, positions, lengths = prompts.rows([p[0] for p in pairs], PADDING, rng)
        with torch.autocast(run.DEVICE.type, torch.bfloat16, enabled=run.BF16):
            every = encoder(ids, positions, lengths).float()
        y = torch.tensor([p[1] for p in pairs], device=run.DEVICE)
        told = questions.answers(every, lengths)
        total = lambda some: sum(F.cross_entropy(o, y[:, j]) for o, j in some)
        loss = total(told[:-count]) / (len(told) - count) + total(told[-count:]) / count
        loss = loss + 1e-4 * every.pow(2).mean()
        # At state 9 the end of every noun phrase must tell what the phrase names, so that words are bound to their
        # nouns early.
        if marks := [(i, row, classes) for i, p in enumerate(pairs) for row, classes in p[2]]:
            at = every[[i for i, _, _ in marks], [row for _, row, _ in marks], :HIDDEN]
            said = torch.tensor([classes for _, _, classes in marks], device=run.DEVICE)
            parts = questions.naming(at).split([n for _, n in captions.MARKED], -1)
            loss = loss + 0.5 * sum(F.cross_entropy(o, said[:, j]) for j, o in enumerate(parts)) / len(parts)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step(run.rate(step, args.steps, flat=0.6, floor=0.02))
        step += 1
        if step % AVERAGED == 0:
            run.average(params)
        if rank == 0 and step % 100 == 0:
            log(f"text: step {step} loss {loss.item():.4f} {measure() if step % 200 == 0 else ''}")
            run.write(state / "text.pt", {"encoder": encoder.state_dict(), "questions": questions.state_dict(),
                "optimiser": optimiser.state(), "step": step})
    if rank == 0:
        log(f"text: done {measure()}")
        encoder.export(state / "text_encoder")


def main():
    args = argparse.ArgumentParser()
    args.add_argument("state")
    args.add_argument("--ranks", type=int, default=1)
    args.add_argument("--steps", type=int, default=6400)
    args.add_argument("--eager", action="store_true",
        help="do not compile the layers: steps are slower but start at once")
    args = args.parse_args()
    if not (pathlib.Path(args.state) / "tokenizer" / "tokenizer.json").exists():
        build_tokenizer(pathlib.Path(args.state) / "tokenizer")
    run.ranks(train, args, "text")


if __name__ == "__main__":
    main()
