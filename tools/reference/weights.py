"""The formula of the weights in all random checkpoints of the project. A weight is a function of its name, index and
seed.

    key(name) = FNV-1a-64(utf8(name)) xor (seed * 0x9E3779B97F4A7C15)            (mod 2^64)
    z_i       = splitmix64 finaliser of key + i * 0x9E3779B97F4A7C15,  i = 1, 2, ... in row-major order
    u_i       = (z_i >> 40) * 2^-23 - 1                                          in [-1, 1)
    w_i       = a + b * u_i in float64, rounded to float32, rounded to bfloat16, each to nearest even

(a, b) depend on the name and are chosen so that activations keep their magnitude. A name is that of the Diffusers
layout with its component before it: transformer.…, vae.…, text_encoder.….
"""

import math

import numpy as np
import torch

GOLDEN = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1
CHUNK = 1 << 24  # values computed at a time: a full-size tensor needs its own memory and about 400 MB more
QK_NORMS = ("norm_q", "norm_k", "norm_added_", "q_norm", "k_norm")


def key(name, seed):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001B3 & MASK
    return h ^ (seed * GOLDEN & MASK)


def offset_and_scale(name, shape):
    """Returns (a, b) of a tensor. The first matching rule decides."""
    if name.endswith("running_mean"):
        return 0.0, 0.3
    if name.endswith("running_var"):
        return 1.0, 0.5
    if len(shape) == 1:
        if not name.endswith("weight"):
            return 0.0, 0.1
        return (1.4, 0.3) if any(norm in name for norm in QK_NORMS) else (1.0, 0.25)
    if "embed_tokens" in name or "lm_head" in name:
        return 0.0, 1.0
    gain = 1.0
    if name.endswith("decoder.conv_out.weight"):
        gain = 0.9
    elif name.endswith("proj_out.weight"):
        gain = 0.6
    elif "modulation" in name or "norm_out.linear" in name:
        gain = 0.8
    fan_in = math.prod(shape) // shape[0]
    return 0.0, gain * math.sqrt(3 / fan_in)


def weight(name, shape, seed):
    """Returns the tensor called name, which begins with its component, as bfloat16."""
    if name == "text_encoder.model.embed_tokens.weight":
        name = "text_encoder.lm_head.weight"  # the two weights are tied, so they are one tensor
    a, b = offset_and_scale(name, shape)
    total = math.prod(shape)
    out = torch.empty(total, dtype=torch.bfloat16)
    start = np.uint64(key(name, seed))
    for low in range(0, total, CHUNK):
        high = min(low + CHUNK, total)
        z = np.arange(low + 1, high + 1, dtype=np.uint64)
        z *= np.uint64(GOLDEN)  # modulo 2^64, as intended
        z += start
        z ^= z >> np.uint64(30)
        z *= np.uint64(0xBF58476D1CE4E5B9)
        z ^= z >> np.uint64(27)
        z *= np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
        u = (z >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1
        out[low:high] = torch.from_numpy((a + b * u).astype(np.float32)).to(torch.bfloat16)
    return out.reshape(shape)
