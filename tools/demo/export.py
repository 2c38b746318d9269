"""Assembles the parts of the demo model into a Diffusers folder in bf16, or takes a folder apart for further training.

    python export.py STATE OUT               writes the folder OUT from STATE, with the transformer's averaged weights
    python export.py STATE --from FOLDER     copies autoencoder, text encoder and tokenizer from a folder to STATE
"""

import argparse
import json
import pathlib
import shutil

import torch

import flow
import run


def assemble(state, out):
    from diffusers import AutoencoderKLFlux2, Flux2KleinPipeline, Flux2Transformer2DModel
    from diffusers import FlowMatchEulerDiscreteScheduler
    from transformers import Qwen2TokenizerFast, Qwen3ForCausalLM

    net = flow.Flow()
    saved = run.peek(state / "flow-0.pt")
    net.load_state_dict(saved["flow"])
    transformer = Flux2Transformer2DModel(**flow.CONFIG)
    transformer.load_state_dict(net.weights(saved["ema"]))
    scheduler = FlowMatchEulerDiscreteScheduler(
        num_train_timesteps=1000, shift=3.0, use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15,
        base_image_seq_len=256,
        max_image_seq_len=4096, time_shift_type="exponential",
    )  # fmt: skip
    for part in ("scheduler", "text_encoder", "tokenizer", "transformer", "vae"):
        shutil.rmtree(out / part, ignore_errors=True)
    Flux2KleinPipeline(
        scheduler=scheduler, vae=AutoencoderKLFlux2.from_pretrained(state / "vae").to(torch.bfloat16),
        text_encoder=Qwen3ForCausalLM.from_pretrained(state / "text_encoder", dtype=torch.bfloat16),
        tokenizer=Qwen2TokenizerFast.from_pretrained(state / "tokenizer"), transformer=transformer.to(torch.bfloat16),
        is_distilled=True,
    ).save_pretrained(out)  # fmt: skip
    # Remove what is not read, and what says where the model was made.
    (out / "text_encoder" / "generation_config.json").unlink(missing_ok=True)
    for file in out.rglob("config.json"):
        config = json.loads(file.read_text())
        if config.pop("_name_or_path", None):
            file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    files = [f for f in out.rglob("*") if f.is_file()]
    print(f"step {saved['step']}: {out}, {sum(f.stat().st_size for f in files) / 2**20:.2f} MiB")


def take_apart(folder, state):
    """Copies autoencoder, text encoder and tokenizer from a folder to state."""
    for part in ("vae", "text_encoder", "tokenizer"):
        shutil.copytree(folder / part, state / part, dirs_exist_ok=True)


def main():
    args = argparse.ArgumentParser()
    args.add_argument("state", type=pathlib.Path)
    args.add_argument("out", type=pathlib.Path, nargs="?")
    args.add_argument("--from", dest="source", type=pathlib.Path)
    args = args.parse_args()
    if args.source:
        take_apart(args.source, args.state)
    if args.out:
        assemble(args.state, args.out)


if __name__ == "__main__":
    main()
