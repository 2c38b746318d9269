"""Runs Diffusers' Flux2KleinPipeline on the CPU and records the outputs of all stages.

    python stages.py CASES --models MODELS t2i multi-2      records these cases; without names, all cases
    python stages.py CASES --models MODELS --check          compares with the recorded outputs and writes no file
    python stages.py CASES --models MODELS --bf16           measures how bfloat16 changes the reference's outputs, and
                                                            writes report.json

CASES/NAME/case.json describes a case: {"model": folder under MODELS, "prompt", "seed", "steps", "guidance" (1 if
absent), "width", "height", "refs": [file names in the same folder]}. The outputs are recorded in the same folder, in
float32:

    stages.safetensors   input_ids, attention_mask [512]; prompt_embeds, negative_prompt_embeds [512, 3*hidden];
                         refN.pixels [3, h, w] in [-1, 1]; refN.latents [h/16*w/16, 128]; noise [128, H/16, W/16];
                         sigmas [steps+1]; velocity.I [tokens, 128] (after guidance); latents.I (after the step);
                         vae.input [32, H/8, W/8]; decoded [3, H, W] before clamping
    blocks.safetensors   with --blocks: the outputs of the blocks in step 0, of three encoder layers and of the VAE's
                         levels
    out.png              the picture
"""

import argparse
import json
import pathlib
import sys

import numpy as np
import torch
from diffusers import Flux2KleinPipeline
from PIL import Image, ImageOps
from safetensors.torch import load_file, save_file

LENGTH = 512


def reference_picture(path):
    """Opens a reference as the model should see it: upright, with transparency composited on white."""
    picture = ImageOps.exif_transpose(Image.open(path))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


class Recorder:
    """Records the stages of one run by wrapping methods of the pipeline and its parts."""

    def __init__(self, pipe):
        self.pipe = pipe
        self.stages = {}
        self.originals = []
        self.step = 0

    def keep(self, name, tensor):
        self.stages[name] = tensor.detach().float().contiguous().clone()

    def after(self, owner, method, visit):
        """Makes every call of owner.method call visit(result, *args) afterwards."""
        original = getattr(owner, method)

        def wrapped(*args, **kwargs):
            result = original(*args, **kwargs)
            visit(result, *args)
            return result

        setattr(owner, method, wrapped)
        self.originals.append((owner, method))

    def __enter__(self):
        pipe = self.pipe
        self.after(pipe, "encode_prompt", self.on_prompt)
        self.after(pipe.image_processor, "preprocess", self.on_pixels)
        self.after(pipe, "_encode_vae_image", self.on_reference)
        self.after(pipe, "prepare_latents", self.on_noise)
        self.after(pipe.scheduler, "step", self.on_step)
        self.after(pipe.vae, "decode", self.on_decoded)
        return self

    def __exit__(self, *_):
        for owner, method in self.originals:
            delattr(owner, method)  # removes the wrapper, so that the method of the class is visible again

    def on_prompt(self, result, *_):
        name = "negative_prompt_embeds" if "prompt_embeds" in self.stages else "prompt_embeds"
        self.keep(name, result[0][0])

    def count(self, suffix):
        return sum(name.startswith("ref") and name.endswith(suffix) for name in self.stages)

    def on_pixels(self, result, *_):
        self.keep(f"ref{self.count('.pixels') + 1}.pixels", result[0])

    def on_reference(self, result, *_):
        self.keep(f"ref{self.count('.latents') + 1}.latents", result[0].flatten(1).T)

    def on_noise(self, result, *_):
        self.packed_noise = result[0][0]

    def on_step(self, result, velocity, _, before):
        if self.step == 0:
            self.keep("sigmas", self.pipe.scheduler.sigmas)
        self.keep(f"velocity.{self.step}", velocity[0])
        self.keep(f"latents.{self.step}", result[0][0])
        self.step += 1

    def on_decoded(self, result, latents, *_):
        self.keep("vae.input", latents[0])
        self.keep("decoded", result[0][0])


# The modules that --blocks records, by component: the module's path → the names of its outputs, in their order.
def block_names(pipe):
    names = {"transformer": {}, "vae": {}, "text_encoder": {}}
    names["text_encoder"] = {
        "model.layers.0.self_attn": ["qwen3.layer.0.self_attn"],
        **{f"model.layers.{i}": [f"qwen3.layer.{i}"] for i in (0, 1, 8)},
    }
    transformer = names["transformer"]
    transformer |= {
        "time_guidance_embed": ["step0.temb"],
        "double_stream_modulation_img.linear": ["step0.modulation.img"],
        "double_stream_modulation_txt.linear": ["step0.modulation.txt"],
        "single_stream_modulation.linear": ["step0.modulation.single"],
        "x_embedder": ["step0.x_embedder"],
        "context_embedder": ["step0.context_embedder"],
        "norm_out": ["step0.norm_out"],
    }
    for i in range(len(pipe.transformer.transformer_blocks)):
        transformer[f"transformer_blocks.{i}"] = [f"step0.double.{i}.txt", f"step0.double.{i}.img"]
        transformer[f"transformer_blocks.{i}.attn"] = [f"step0.double.{i}.attn.img", f"step0.double.{i}.attn.txt"]
    for i in range(len(pipe.transformer.single_transformer_blocks)):
        transformer[f"single_transformer_blocks.{i}"] = [f"step0.single.{i}"]
    vae = names["vae"]
    vae |= {
        "encoder": ["vae.encoder"],
        "encoder.conv_in": ["vae.encoder.conv_in"],
        "encoder.mid_block": ["vae.encoder.mid"],
        "quant_conv": ["vae.quant_conv"],
        "post_quant_conv": ["vae.post_quant_conv"],
        "decoder.conv_in": ["vae.decoder.conv_in"],
        "decoder.mid_block": ["vae.decoder.mid"],
        "decoder.mid_block.resnets.0": ["vae.decoder.mid.resnets.0"],
        "decoder.mid_block.attentions.0": ["vae.decoder.mid.attentions.0"],
    }
    for i in range(len(pipe.vae.config.block_out_channels)):
        vae[f"encoder.down_blocks.{i}"] = [f"vae.encoder.down.{i}"]
        vae[f"decoder.up_blocks.{i}"] = [f"vae.decoder.up.{i}"]
    return names


def hook_blocks(pipe, blocks):
    """Stores the first output of every module of block_names in blocks, and returns the hooks."""
    hooks = []
    for component, names in block_names(pipe).items():
        for path, keys in names.items():

            def keep(module, args, output, keys=keys):
                outputs = output if isinstance(output, tuple) else (output,)
                for key, tensor in zip(keys, outputs):
                    if key not in blocks:
                        blocks[key] = tensor[0].detach().float().contiguous().clone()

            hooks.append(getattr(pipe, component).get_submodule(path).register_forward_hook(keep))
    return hooks


def run(pipe, case, folder, blocks=None, noise=None):
    """Returns the stages and the picture of a case. noise [128, H/16, W/16] replaces the noise of the seed."""
    text = pipe.tokenizer.apply_chat_template(
        [{"role": "user", "content": case["prompt"]}], tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    tokens = pipe.tokenizer(text, return_tensors="pt", padding="max_length", truncation=True, max_length=LENGTH)
    pictures = [reference_picture(folder / name) for name in case.get("refs", [])]
    hooks = hook_blocks(pipe, blocks) if blocks is not None else []
    with Recorder(pipe) as recorder:
        picture = pipe(
            image=pictures or None, prompt=case["prompt"], width=case["width"], height=case["height"],
            num_inference_steps=case["steps"], guidance_scale=case.get("guidance", 1.0), max_sequence_length=LENGTH,
            generator=torch.Generator("cpu").manual_seed(case["seed"]),
            latents=None if noise is None else noise[None].to(pipe.dtype),
        ).images[0]  # fmt: skip
    for hook in hooks:
        hook.remove()
    stages = recorder.stages
    stages["input_ids"] = tokens["input_ids"][0].to(torch.int32)
    stages["attention_mask"] = tokens["attention_mask"][0].to(torch.int32)
    recorder.keep("noise", recorder.packed_noise.T.reshape(128, case["height"] // 16, case["width"] // 16))
    return stages, picture


def relative(got, want):
    """Returns the relative RMS difference of two tensors."""
    got, want = got.double(), want.double()
    return ((got - want).norm() / want.norm().clamp_min(1e-30)).item()


def levels(got, want):
    return np.abs(np.asarray(got, dtype=int) - np.asarray(want, dtype=int))


def check(name, got, want):
    """Prints the largest relative RMS difference of two sets of tensors, and returns whether it is within 1e-5."""
    if got.keys() != want.keys():
        print(f"{name}: not in both sets: {sorted(got.keys() ^ want.keys())}")
        return False
    worst = max((relative(got[key], want[key]), key) for key in want)
    print(f"{name}: {len(want)} tensors, largest relative RMS difference {worst[0]:.1e} ({worst[1]})")
    return worst[0] <= 1e-5


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=pathlib.Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--models", type=pathlib.Path, required=True)
    parser.add_argument("--blocks", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--bf16", action="store_true")
    args = parser.parse_intermixed_args()
    names = args.names or sorted(path.parent.name for path in args.cases.glob("*/case.json"))

    pipes, report, fine = {}, {}, True
    for name in names:
        folder = args.cases / name
        case = json.loads((folder / "case.json").read_text())
        if not (args.models / case["model"]).is_dir():
            print(f"{name}: skipped, {case['model']} is not a folder that the pipeline reads")
            continue

        def pipe(dtype):
            at = case["model"], dtype
            if at not in pipes:
                model = args.models / case["model"]
                pipes[at] = Flux2KleinPipeline.from_pretrained(model, dtype=dtype, local_files_only=True)
                pipes[at].set_progress_bar_config(disable=True)
            return pipes[at]

        if args.bf16:  # with the recorded noise, because torch draws other numbers in bfloat16
            want = load_file(folder / "stages.safetensors")
            got, picture = run(pipe(torch.bfloat16), case, folder, noise=want["noise"])
            difference = levels(picture, Image.open(folder / "out.png"))
            row = {key: round(relative(got[key], want[key]), 5) for key in ("prompt_embeds", "velocity.0", "decoded")}
            row |= {"png_mean_abs": round(difference.mean().item(), 3), "png_max": difference.max().item()}
            report[name] = {"bf16": row}
            print(name, row)
            continue
        blocks = {} if args.blocks or args.check and (folder / "blocks.safetensors").exists() else None
        stages, picture = run(pipe(torch.float32), case, folder, blocks)
        if args.check:
            fine &= check(name, stages, load_file(folder / "stages.safetensors"))
            if blocks is not None:
                want = load_file(folder / "blocks.safetensors")
                fine &= check(f"{name} blocks", {key: blocks[key] for key in blocks if key in want}, want)
            worst = levels(picture, Image.open(folder / "out.png")).max()
            print(f"{name}: picture within {worst} levels")
            fine &= bool(worst <= 1)
            continue
        save_file(stages, folder / "stages.safetensors")
        if blocks is not None:
            save_file(blocks, folder / "blocks.safetensors")
        picture.save(folder / "out.png")
        print(f"{name}: {len(stages)} stages")
    if args.bf16:
        (args.cases / "report.json").write_text(json.dumps({"cases": report}, indent=1) + "\n")
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
