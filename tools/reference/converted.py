"""Reads a file that `kleinbild models convert` wrote with other programs' own readers, and compares it with its source.

    kleinbild models convert -m single/flux-2-klein-4b.safetensors --to Q4_K klein.gguf
    python converted.py klein.gguf single/flux-2-klein-4b.safetensors

SOURCE is the network as one safetensors file: a transformer with the original names, or a text encoder with those of
transformers. GGUF files are read by llama.cpp's package, others by safetensors. It prints the relative RMS error of
each kind, and fails if a name, a shape, a marker or the architecture is not what llama.cpp, ComfyUI-GGUF and ComfyUI
expect, or if an error is larger than a kind can have.
"""

import argparse
import json
import re
import sys

import gguf
import numpy as np
from safetensors import safe_open

# The largest relative RMS error of a matrix: that of normally distributed values, with room for other distributions.
LIMITS = {"F32": 0.0, "F16": 1e-3, "BF16": 0.0, "Q8_0": 0.02, "Q6_K": 0.04, "Q5_0": 0.1, "Q4_K": 0.15, "Q4_0": 0.15}
LIMITS |= {"float8_e4m3fn": 0.05, "int8_tensorwise": 0.03}

LLAMA = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip


def bf16(raw):
    return (raw.astype(np.uint32) << 16).view(np.float32)


def e4m3(codes):
    """The value of each byte of float8_e4m3fn, by its definition."""
    table = np.empty(256, np.float32)
    for code in range(256):
        exponent, mantissa = code >> 3 & 15, code & 7
        value = mantissa / 8 * 2.0**-6 if exponent == 0 else (1 + mantissa / 8) * 2.0 ** (exponent - 7)
        table[code] = np.nan if code & 127 == 127 else -value if code & 128 else value
    return table[codes]


def hadamard(size):
    """The matrix of ConvRot for groups of size columns."""
    four = np.array([[1, 1, 1, -1], [1, 1, -1, 1], [1, -1, 1, 1], [-1, 1, 1, 1]], np.float64)
    h = np.ones((1, 1))
    while len(h) < size:
        h = np.kron(h, four)
    return h / np.sqrt(size)


class Tensors:
    """The tensors of a safetensors file. NumPy knows neither bfloat16 nor float8, so that the bytes are read here."""

    def __init__(self, path):
        with safe_open(path, "np") as f:  # the file is one that the package accepts
            self.names = set(f.keys())
        self.data = np.memmap(path, np.uint8, "r")
        length = int(self.data[:8].view(np.uint64)[0])
        self.header = json.loads(bytes(self.data[8 : 8 + length]))
        self.begin = 8 + length

    def raw(self, name, dtype):
        entry = self.header[name]
        begin, end = (self.begin + offset for offset in entry["data_offsets"])
        return np.frombuffer(bytes(self.data[begin:end]), dtype).reshape(entry["shape"])

    def floats(self, name):
        dtype = self.header[name]["dtype"]
        return bf16(self.raw(name, np.uint16)) if dtype == "BF16" else self.raw(name, {"F32": "f4", "F16": "f2"}[dtype])


def from_gguf(path):
    """Yields the name in the source, the kind and the values of every tensor."""
    reader = gguf.GGUFReader(path)
    architecture = reader.get_field("general.architecture").contents()
    assert architecture in ("flux", "qwen3"), architecture
    for t in reader.tensors:
        name = t.name
        if architecture == "qwen3":
            inner = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.weight", name)
            name = (f"model.layers.{inner[1]}." if inner[1] else "") + LLAMA[inner[2]] + ".weight"
        shape = tuple(int(n) for n in reversed(t.shape))
        yield name, t.tensor_type.name, gguf.dequantize(t.data, t.tensor_type).reshape(shape)
    if architecture == "qwen3":
        tokens = reader.get_field("tokenizer.ggml.tokens").contents()
        assert len(tokens) == shape_of(reader, "token_embd.weight")[0], len(tokens)
        assert len(reader.get_field("tokenizer.ggml.token_type").contents()) == len(tokens)


def shape_of(reader, name):
    return next(tuple(int(n) for n in reversed(t.shape)) for t in reader.tensors if t.name == name)


def from_markers(path):
    """from_gguf for a file with ComfyUI's markers."""
    file = Tensors(path)
    for name in sorted(file.names):
        layer = name.removesuffix(".weight")
        if name.endswith((".comfy_quant", ".weight_scale")):
            continue
        if f"{layer}.comfy_quant" not in file.names:
            yield name, file.header[name]["dtype"], file.floats(name)
            continue
        marker = json.loads(bytes(file.raw(f"{layer}.comfy_quant", np.uint8)))
        scale = file.floats(f"{layer}.weight_scale")
        if marker["format"] == "float8_e4m3fn":
            assert scale.shape == (), scale.shape
            values = e4m3(file.raw(name, np.uint8)) * scale
        else:
            values = file.raw(name, np.int8).astype(np.float64)
            assert marker["format"] == "int8_tensorwise" and scale.shape == (len(values), 1), (marker, scale.shape)
            group = marker.get("convrot_groupsize", 1)
            values = ((values * scale).reshape(-1, group) @ hadamard(group)).reshape(values.shape)
        yield name, marker["format"], values


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file")
    parser.add_argument("source")
    args = parser.parse_args()
    source = Tensors(args.source)
    unseen = {n for n in source.names if n not in ("lm_head.weight", "model.lm_head.weight")}
    errors = {}
    for name, kind, values in from_gguf(args.file) if args.file.endswith(".gguf") else from_markers(args.file):
        want = source.floats(name).astype(np.float64)
        assert values.shape == want.shape, (name, values.shape, want.shape)
        unseen.remove(name)
        norm = np.linalg.norm(want)
        error = np.linalg.norm(values - want) / norm if norm > 0 else np.abs(values).max()
        assert error <= LIMITS[kind], f"{name}: {kind}: the relative error is {error:.4f}, want {LIMITS[kind]} at most"
        errors.setdefault(kind, []).append(error)
    if unseen:
        sys.exit(f"{args.file} lacks {sorted(unseen)[:3]} and {len(unseen)} in all")
    for kind, list_ in errors.items():
        print(f"{kind}: {len(list_)} tensors, relative RMS error {np.mean(list_):.4f}, {max(list_):.4f} at most")


if __name__ == "__main__":
    main()
