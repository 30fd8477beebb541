"""Learns dictionaries inside a small network that denoises photographs, from image to image.

Noise of standard deviation 25/255 is added to grey photographs that come with scikit-learn. The
network has two ``sparsedef.nn.SparseDenoise`` layers, for patches of 6 x 6 and 10 x 10 pixels, and
a 1 x 1 convolution that mixes what they give. It is trained end to end on crops of the photograph
of a temple, twice, from the same start, on the same crops with the same noise: once with its
dictionaries held fixed (overcomplete DCT, the customary choice without training), once with the
dictionaries learned as well; the mixture is learned both times. What counts is the PSNR on the
photograph of a flower, on which nothing was trained or chosen. The filters that it is compared with
have their widths chosen on the temple too; what they could reach with the widths that suit the
flower best is printed as well.

    python examples/denoise_photographs.py [--quick] [--steps N] [--seed N]
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

import sparsedef.nn
from sparsedef.data import load_photograph
from sparsedef.defenses.filters import bilateral_filter

SIGMA = 25 / 255
SIDES = (6, 10)  # of the patches
CROP = 48
BATCH = 8


class Denoiser(nn.Module):
    """Sparse coding at two patch sizes, mixed."""

    def __init__(self, *, learn_dictionary: bool) -> None:
        """Starts from cosines, four times as many as pixels, and the mean of the two."""
        super().__init__()
        self.codes = nn.ModuleList(
            sparsedef.nn.SparseDenoise(
                cosine_dictionary(side),
                n_nonzero=side**2 // 5,
                tol=side**2 * (1.15 * SIGMA) ** 2,  # what is left is noise; 1.15: Elad, Aharon
                stride=side // 3,
                learn_dictionary=learn_dictionary,
            )
            for side in SIDES
        )
        self.mix = nn.Conv2d(len(SIDES), 1, 1, bias=False)
        nn.init.constant_(self.mix.weight, 1 / len(SIDES))

    def forward(self, images: Tensor) -> Tensor:
        """Denoised images ``[B, 1, H, W]``."""
        return self.mix(torch.cat([code(images) for code in self.codes], dim=1))


def cosine_dictionary(side: int) -> Tensor:
    """Makes the overcomplete DCT: products of sampled cosines, ``[4 * side^2, side^2]``."""
    n_waves = 2 * side
    wave, pixel = torch.arange(n_waves)[:, None], torch.arange(side) + 0.5
    waves = torch.cos(math.pi * wave * pixel / n_waves)  # [n_waves, side]
    waves[1:] -= waves[1:].mean(dim=1, keepdim=True)
    waves = functional.normalize(waves, dim=1)
    return torch.kron(waves, waves)


def add_noise(images: Tensor, generator: torch.Generator) -> Tensor:
    """Adds Gaussian noise; nothing is clipped."""
    return images + SIGMA * torch.randn(images.shape, generator=generator)


def psnr(images: Tensor, clean: Tensor) -> float:
    """Gives the peak signal-to-noise ratio in dB of images clipped to [0, 1]."""
    return -10 * math.log10(float((images.clamp(0, 1) - clean).square().mean()))


def train(model: Denoiser, photograph: Tensor, steps: int, seed: int) -> None:
    """Minimises the squared error on random crops; the same seed gives the same crops and noise."""
    generator = torch.Generator().manual_seed(seed)
    groups = [
        {"params": model.codes.parameters(), "lr": 1e-2},
        {"params": model.mix.parameters(), "lr": 2e-3},
    ]
    optimizer = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    height, width = photograph.shape[-2:]
    for _ in range(steps):
        rows = torch.randint(height - CROP + 1, (BATCH,), generator=generator).tolist()
        columns = torch.randint(width - CROP + 1, (BATCH,), generator=generator).tolist()
        clean = torch.stack(
            [photograph[:, i : i + CROP, j : j + CROP] for i, j in zip(rows, columns, strict=True)]
        )
        loss = functional.mse_loss(model(add_noise(clean, generator)), clean)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def trained(photograph: Tensor, steps: int, seed: int, *, learn_dictionary: bool) -> Denoiser:
    """Trains a network, then makes it use every patch."""
    model = Denoiser(learn_dictionary=learn_dictionary)
    train(model, photograph, steps, seed)
    for code in model.codes:
        code.stride = 1
    return model.requires_grad_(False)


def gaussian_filter(images: Tensor, width: float) -> Tensor:
    """Blurs ``[B, 1, H, W]`` with a Gaussian, the edges reflected: the linear baseline."""
    reach = math.ceil(3 * width)
    bell = torch.exp(-torch.arange(-reach, reach + 1).square() / (2 * width**2))
    bell = (bell / bell.sum())[None, None, None]
    padded = functional.pad(images, (reach,) * 4, mode="reflect")
    return functional.conv2d(functional.conv2d(padded, bell), bell.mT)


def filters() -> dict[str, list[Callable[[Tensor], Tensor]]]:
    """Lists the baselines, each at several widths."""
    return {
        "Gaussian filter": [
            lambda x, width=width: gaussian_filter(x, width) for width in (0.6, 0.8, 1.0, 1.3, 1.7)
        ],
        "bilateral filter": [
            lambda x, near=near, alike=alike: bilateral_filter(
                x, size=9, sigma_color=alike, sigma_space=near
            )
            for near in (1.0, 1.5, 2.5)
            for alike in (0.15, 0.2, 0.3, 0.4)
        ],
    }  # fmt: skip


def run(*, steps: int = 500, seed: int = 0) -> dict[str, float]:
    """Trains both networks and prints the PSNR of everything on the photograph of the flower.

    Returns:
        PSNR in dB by name.
    """
    # [1, 427, 640], grey: the mean of the colours
    temple, flower = (
        load_photograph(name).mean(dim=0, keepdim=True) for name in ("china", "flower")
    )
    generator = torch.Generator().manual_seed(seed + 1)
    noisy_temple, noisy = (add_noise(each[None], generator) for each in (temple, flower))
    found = {"noisy": psnr(noisy, flower)}
    for name, candidates in filters().items():
        best = max(candidates, key=lambda each: psnr(each(noisy_temple), temple))
        found[name] = psnr(best(noisy), flower)
        # What no choice on another photograph can beat:
        found[f"{name}, at its best"] = max(psnr(each(noisy), flower) for each in candidates)
    for name, learn in (("network, fixed DCT", False), ("network, learned dictionary", True)):
        start = time.perf_counter()
        model = trained(temple, steps, seed, learn_dictionary=learn)
        found[name] = psnr(model(noisy), flower)
        print(f"{name}: {steps} steps in {time.perf_counter() - start:.0f} s", flush=True)
    print("\nPSNR on the flower, dB")
    for name, value in found.items():
        print(f"  {name:28s} {value:6.2f}")
    gain = found["network, learned dictionary"] - found["network, fixed DCT"]
    print(f"learned atoms gain {gain:+.2f} dB over fixed ones")
    return found


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Reads the command line; ``--quick`` takes 120 steps in place of 500."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="120 steps")
    parser.add_argument("--steps", type=int, help="training steps of each network")
    parser.add_argument("--seed", type=int, default=0, help="of crops and noise")
    options = parser.parse_args(arguments)
    steps = options.steps or (120 if options.quick else 500)
    # The tensors are small, and sums in one order give one answer on any number of cores.
    torch.set_num_threads(1)
    return run(steps=steps, seed=options.seed)


if __name__ == "__main__":
    main()
