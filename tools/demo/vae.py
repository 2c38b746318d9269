"""The autoencoder: its configuration, its training, and latents in the form that the transformer uses.

    python vae.py STATE                trains both parts, computes the batch-norm statistics and writes STATE/vae
    python vae.py STATE --decoder N    trains only the decoder for N more steps; the latents do not change

The loss is L1 + 2·L2 + 2e-4·KL on crops of 64 × 64 pixels, and on whole pictures of all aspect ratios in the last
quarter.
"""

import argparse
import pathlib
import random

import numpy as np
import torch
from diffusers import AutoencoderKLFlux2

import muon
import run
import world

CONFIG = dict(
    latent_channels=32, block_out_channels=(8, 16, 32, 64), decoder_block_out_channels=(16, 24, 48, 64),
    norm_num_groups=4,
    layers_per_block=1, sample_size=world.NATIVE,
)  # fmt: skip
POOL = 2000


def pixels(images):
    """Converts RGB images of one size to [n, 3, h, w] in [−1, 1]."""
    return torch.from_numpy(np.stack([np.asarray(i) for i in images])).permute(0, 3, 1, 2).float() / 127.5 - 1


def patchify(z):
    """Reorders latents [n, 32, h, w] to [n, 128, h/2, w/2]."""
    n, c, h, w = z.shape
    return z.view(n, c, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 2, 4).reshape(n, c * 4, h // 2, w // 2)


def unpatchify(z):
    n, c, h, w = z.shape
    return z.view(n, c // 4, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, c // 4, h * 2, w * 2)


def statistics(vae):
    """Returns mean and standard deviation of the batch norm, both [1, 128, 1, 1]."""
    variance = vae.bn.running_var.view(1, -1, 1, 1)
    return vae.bn.running_mean.view(1, -1, 1, 1), torch.sqrt(variance + vae.config.batch_norm_eps)


@torch.no_grad()
def encode(vae, x):
    """Encodes pixels [n, 3, H, W] to tokens [n, H/16 · W/16, 128]."""
    mean, std = statistics(vae)
    return ((patchify(vae.encode(x.to(vae.device)).latent_dist.mode()) - mean) / std).flatten(2).transpose(1, 2).cpu()


@torch.no_grad()
def decode(vae, tokens, size):
    """Decodes tokens [n, H/16 · W/16, 128] to pixels [n, 3, H, W] in [−1, 1]. size is (width, height)."""
    mean, std = statistics(vae)
    z = tokens.transpose(1, 2).reshape(len(tokens), 128, size[1] // 16, size[0] // 16)
    return vae.decode(unpatchify(z * std + mean)).sample.clamp(-1, 1)


def batch(pool, whole):
    """Returns sixteen crops of 64 × 64 pixels, or two whole pictures of one size."""
    if whole:
        size = random.choice(list(pool))
        return torch.stack([random.choice(pool[size]) for _ in range(2)]).float() / 127.5 - 1
    crops = []
    for _ in range(16):
        picture = random.choice(pool[random.choice(list(pool))])
        y, x = (random.randrange(0, side - 63, 2) for side in picture.shape[1:])
        crops.append(picture[:, y : y + 64, x : x + 64])
    return torch.stack(crops).float() / 127.5 - 1


def psnr(vae, held):
    with torch.no_grad():
        decoded = [vae.decode(vae.encode(x).latent_dist.mode()).sample.clamp(-1, 1) for x in held]
        errors = [((y - x) ** 2).mean((1, 2, 3)) / 4 for x, y in zip(held, decoded)]
    return float((-10 * torch.log10(torch.cat(errors))).mean())


def main():
    args = argparse.ArgumentParser()
    args.add_argument("state")
    args.add_argument("--decoder", type=int, default=0)
    args.add_argument("--steps", type=int, default=1500)
    args = args.parse_args()
    state = pathlib.Path(args.state)
    run.threads(state)
    run.seed(1)
    log = run.Log(state / "vae.log")
    rng = random.Random(100)
    sizes = list(world.ASPECTS.values())
    pool = {}
    for i in range(POOL):
        size = sizes[0] if i % 3 == 0 else sizes[i % 8]
        image = np.array(world.draw(world.random_scene(rng), size))
        pool.setdefault(size, []).append(torch.from_numpy(image).permute(2, 0, 1))
    held = [pixels([world.draw(world.random_scene(rng), size) for _ in range(4)]).to(run.DEVICE) for size in sizes[:4]]

    vae = AutoencoderKLFlux2.from_pretrained(state / "vae") if args.decoder else AutoencoderKLFlux2(**CONFIG)
    vae.to(run.DEVICE)
    with torch.no_grad():
        if not args.decoder:
            vae.quant_conv.bias[32:] = -6
            vae.quant_conv.weight[32:] *= 0.1
    if args.decoder:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    trained = [(n, p) for n, p in vae.named_parameters() if p.requires_grad]
    fits = lambda p: p.ndim >= 2 and p.shape[0] >= 8 and p[0].numel() >= 16
    matrices = [(p, None) for _, p in trained if fits(p)]
    others = [p for _, p in trained if not fits(p)]
    optimiser = muon.Optimiser(matrices, others, 0.02, 1e-3, momentum=0.9, decay=0.0)
    checkpoint = state / ("vae-decoder.pt" if args.decoder else "vae.pt")
    step, steps = 0, args.decoder or args.steps
    if saved := run.load(checkpoint):
        vae.load_state_dict(saved["vae"])
        optimiser.restore(saved["optimiser"])
        step = saved["step"]
    log(f"vae: {sum(p.numel() for p in vae.parameters())} parameters, step {step} of {steps}")
    while step < steps:
        if step % 10 == 0:
            run.threads(state)
        x = batch(pool, whole=args.decoder > 0 or step > 0.75 * steps).to(run.DEVICE)
        if args.decoder:
            with torch.no_grad():
                z = vae.encode(x).latent_dist.mode()
            kl = 0.0
        else:
            mean, logvar = (p := vae.encode(x).latent_dist).mean, p.logvar
            z = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
            kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
        e = vae.decode(z).sample - x
        loss = e.abs().mean() + 2 * (e**2).mean() + 2e-4 * kl
        optimiser.zero_grad()
        loss.backward()
        rate = run.rate(step, steps, flat=0.0 if args.decoder else 0.1, floor=0.02)
        optimiser.step(rate * (0.3 if args.decoder else 1))
        step += 1
        if step % 100 == 0:
            log(f"vae: step {step} loss {loss.item():.4f} psnr {psnr(vae, held):.2f}")
            run.save(checkpoint, {"vae": vae.state_dict(), "optimiser": optimiser.state(), "step": step})
    vae.to(torch.bfloat16).float()
    if not args.decoder:
        with torch.no_grad():
            batches = [torch.stack(pool[size][i : i + 8]) for size in sizes for i in range(0, 80, 8)]
            latents = lambda x: vae.encode((x.float() / 127.5 - 1).to(run.DEVICE)).latent_dist.mode()
            z = [patchify(latents(x)) for x in batches]
        values = torch.cat([t.transpose(0, 1).flatten(1) for t in z], 1)
        vae.bn.running_mean.copy_(values.mean(1))
        vae.bn.running_var.copy_(values.var(1))
        vae.to(torch.bfloat16).float()
        quantiles = torch.tensor([0, 0.1, 0.25, 0.5, 0.75, 0.9, 1], device=values.device)
        deviations = [round(float(q), 3) for q in torch.quantile(values.std(1), quantiles)]
        log(f"vae: latents' deviations {deviations}")
    vae.save_pretrained(state / "vae")
    log(f"vae: done, psnr {psnr(vae, held):.2f}")


if __name__ == "__main__":
    main()
