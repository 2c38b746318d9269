"""Makes a checkpoint of any size with random weights, in the layout of a Diffusers directory.

    python checkpoint.py --tokenizer DIR out/distilled             the tiny distilled model of the tests
    python checkpoint.py --tokenizer DIR --base out/base           the tiny base model
    python checkpoint.py --tokenizer DIR --full out/klein-4b       the size of FLUX.2 [klein] 4B, 16 GB

DIR contains tokenizer.json and the files that belong to it, which are copied. The weights are those of weights.py.
Every other option overrides a value of the preset.
"""

import argparse
import json
import pathlib
import shutil

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler, Flux2Transformer2DModel
from transformers import Qwen3Config, Qwen3ForCausalLM

from weights import weight

DISTILLED = dict(
    seed=1, hidden=64, intermediate=160, layers=28, heads=2, kv_heads=1, encoder_shards=2,
    transformer_heads=2, double=2, single=2, transformer_shards=1,
    vae=[32, 64, 64, 64], vae_decoder=None, groups=32, layers_per_block=2,
)  # fmt: skip
BASE = DISTILLED | dict(
    seed=2, hidden=96, intermediate=192, layers=29, heads=4, kv_heads=2,
    transformer_heads=1, double=1, single=3, transformer_shards=2,
    vae=[32, 32, 64, 64], vae_decoder=[32, 32, 32, 64],
)  # fmt: skip
FULL = DISTILLED | dict(
    hidden=2560, intermediate=9728, layers=36, heads=32, kv_heads=8, vocab=151936,
    transformer_heads=24, double=5, single=20, vae=[128, 256, 512, 512],
)  # fmt: skip


def fill(model, component, seed):
    """Gives weights to a model without storage, one tensor at a time."""
    state = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue  # tied to the embedding
        if not tensor.is_floating_point():  # the counter of the batch norm
            state[name] = torch.zeros(tensor.shape, dtype=tensor.dtype)
            continue
        state[name] = weight(f"{component}.{name}", tuple(tensor.shape), seed)
    model.load_state_dict(state, assign=True, strict=False)
    return model


# shard_bytes returns the largest size of a file so that the model fills the given number of files.
def shard_bytes(model, shards):
    total = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    return total // shards + (1 << 16 if shards > 1 else 1 << 62)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--tokenizer", type=pathlib.Path, required=True)
    parser.add_argument("--base", action="store_true", help="the base model: guidance and many steps")
    parser.add_argument("--full", action="store_true", help="full size")
    for name in (
        "seed", "hidden", "intermediate", "layers", "heads", "kv-heads", "vocab", "encoder-shards", "transformer-heads",
        "double", "single", "transformer-shards", "groups", "layers-per-block",
    ):  # fmt: skip
        parser.add_argument("--" + name, type=int)
    parser.add_argument("--vae", type=int, nargs=4, help="channels of the encoder's levels")
    parser.add_argument("--vae-decoder", type=int, nargs=4, help="channels of the decoder's levels, if they differ")
    args = parser.parse_args()
    size = dict(BASE if args.base else FULL if args.full else DISTILLED)
    size |= {k: v for k, v in vars(args).items() if v is not None and k not in ("out", "tokenizer", "base", "full")}
    out = args.out
    out.mkdir(parents=True)

    (out / "tokenizer").mkdir()
    for file in args.tokenizer.iterdir():
        shutil.copyfile(file, out / "tokenizer" / file.name)
    tokens = json.loads((args.tokenizer / "tokenizer.json").read_text())
    ids = list(tokens["model"]["vocab"].values()) + [token["id"] for token in tokens["added_tokens"]]
    vocab = size.get("vocab", max(ids) + 1 + 6)  # real checkpoints also have a few unused rows
    if vocab <= max(ids):
        parser.error(f"vocabulary of {vocab}, want more than the tokenizer's largest id {max(ids)}")

    with init_empty_weights(include_buffers=True):
        encoder = Qwen3ForCausalLM(
            Qwen3Config(
                vocab_size=vocab, hidden_size=size["hidden"], intermediate_size=size["intermediate"],
                num_hidden_layers=size["layers"], num_attention_heads=size["heads"],
                num_key_value_heads=size["kv_heads"],
                head_dim=128, max_position_embeddings=40960, rms_norm_eps=1e-6, tie_word_embeddings=True,
                attention_bias=False, rope_parameters={"rope_type": "default", "rope_theta": 1000000},
            )
        )  # fmt: skip
        transformer = Flux2Transformer2DModel(
            patch_size=1, in_channels=128, num_layers=size["double"], num_single_layers=size["single"],
            attention_head_dim=128, num_attention_heads=size["transformer_heads"],
            joint_attention_dim=3 * size["hidden"], timestep_guidance_channels=256, mlp_ratio=3.0,
            axes_dims_rope=(32, 32, 32, 32), rope_theta=2000, eps=1e-6, guidance_embeds=False,
        )  # fmt: skip
        vae = AutoencoderKLFlux2(
            block_out_channels=tuple(size["vae"]),
            decoder_block_out_channels=size["vae_decoder"] and tuple(size["vae_decoder"]),
            layers_per_block=size["layers_per_block"], norm_num_groups=size["groups"],
        )  # fmt: skip
    for name, model, shards in (
        ("text_encoder", encoder, size["encoder_shards"]),
        ("transformer", transformer, size["transformer_shards"]),
        ("vae", vae, 1),
    ):
        fill(model, name, size["seed"])
        if name == "text_encoder":
            model.tie_weights()
        model.save_pretrained(out / name, max_shard_size=shard_bytes(model, shards))
        print(f"{name}: {sum(p.numel() for p in model.parameters()):,} parameters")
        model.to("meta")  # frees the weights

    # The config declares the type of the weights under the name that published checkpoints use.
    path = out / "text_encoder" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"torch_dtype": "bfloat16", "rope_theta": 1000000}, indent=2) + "\n")

    FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True).save_pretrained(out / "scheduler")
    index = {
        "_class_name": "Flux2KleinPipeline",
        "is_distilled": not args.base,
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "Qwen3ForCausalLM"],
        "tokenizer": ["transformers", "Qwen2Tokenizer"],
        "transformer": ["diffusers", "Flux2Transformer2DModel"],
        "vae": ["diffusers", "AutoencoderKLFlux2"],
    }
    (out / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


if __name__ == "__main__":
    main()
