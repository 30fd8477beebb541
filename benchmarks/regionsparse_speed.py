"""What RegionSparse costs, stage by stage: python -m benchmarks.regionsparse_speed.

Crops of scikit-learn's photographs, purified with the defaults for their size: at 299 pixels 8 x 8
colour patches, 512 atoms, 8 of them per patch, stride 2, a box. Before anything is timed, the
stages put together must be what ``purify`` gives, and a sample of patches coded by a plain pursuit
in float64 must be no better than the rebuilt ones.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import sparsedef
from benchmarks.machine import commit, machine
from sparsedef.data import load_photograph
from sparsedef.defenses import RegionSparse, RegionSparseSizes
from sparsedef.defenses.fixed_region import two_regions

SAMPLE = 500  # patches that are coded anew


def crops(count: int, side: int) -> Tensor:
    """Crops of the two photographs in turn, ``[count, 3, side, side]``, along both diagonals."""
    found = []
    for i in range(count):
        whole = load_photograph(("china", "flower")[i % 2])
        share = (i // 2) / max((count - 1) // 2, 1)
        top, left = (round(share * (length - side)) for length in whole.shape[1:])
        found.append(whole[:, top : top + side, left : left + side])
    return torch.stack(found)


def fit(images: Tensor) -> RegionSparse:
    """The defense with the sizes for these images, its dictionary from few of them."""
    sizes = RegionSparseSizes.for_size(images.shape[-1])
    sizes = replace(sizes, n_images=4, per_image=1000)
    labels = torch.zeros(len(images), dtype=torch.long)
    return RegionSparse.fit(nn.Flatten(), images, labels, sizes=sizes)


@torch.no_grad()
def check(defense: RegionSparse, images: Tensor) -> None:
    """Demands that the stages are what the defense does, and that the codes are good ones."""
    joined = two_regions(defense.rebuild(images), defense.smooth(images), defense.regions(images))
    assert torch.equal(defense.purify(images), joined.clamp(0, 1))
    options: dict[str, Any] = {"stride": defense.stride, "standardize": defense.standardize}
    code = sparsedef.patch_omp(images[:1], defense.dictionary, defense.n_nonzero, **options)
    patches = sparsedef.extract_patches(images[:1].double(), defense.patch_size, defense.stride)
    shift, scale = patches.mean(1), patches.std(1, correction=0).clamp_min(0.01)
    drawn = torch.randperm(patches.shape[1], generator=torch.Generator().manual_seed(0))[:SAMPLE]
    signals = (patches[0, drawn] - shift) / scale
    atoms, chosen = defense.dictionary.double(), code.indices[0, drawn]
    values = code.values[0, drawn].double().where(chosen >= 0, 0)
    fit_ = torch.einsum("bk,bkm->bm", values, atoms[chosen.clamp_min(0)])
    plain = sparsedef.omp(signals, atoms, defense.n_nonzero, backend="reference")
    ours, theirs = ((signals - fit_).norm(), plain.residual.norm())
    assert ours <= 1.001 * theirs, f"the codes leave {ours:.4g}, a plain pursuit {theirs:.4g}"


def stages(defense: RegionSparse, images: Tensor) -> dict[str, Callable[[], object]]:
    """What is timed, by its name."""
    leaves = images.clone().requires_grad_()

    def gradient() -> Tensor:
        (found,) = torch.autograd.grad(defense.purify(leaves).sum(), leaves)
        assert found.isfinite().all()
        return found

    def without_gradient(stage: Callable[[Tensor], Tensor]) -> Callable[[], object]:
        return torch.no_grad()(lambda: stage(images))

    return {
        "localise": without_gradient(defense.regions),
        "bilateral": without_gradient(defense.smooth),
        "coding": without_gradient(defense.rebuild),
        "purify, all of it": without_gradient(defense.purify),
        "purify and its gradient": gradient,
    }


def clock(work: Callable[[], object], rounds: int) -> dict[str, float]:
    """Median and quartiles in ms, after one round that does not count."""
    work()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        taken.append(1e3 * (time.perf_counter() - start))
    low, median, high = (
        statistics.quantiles(taken, n=4, method="inclusive") if rounds > 1 else 3 * taken
    )
    return {"median_ms": median, "q1_ms": low, "q3_ms": high}


def main(argv: Sequence[str] | None = None) -> int:
    """Checks, times and prints; writes JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--side", type=int, default=299)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, metavar="FILE.json")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    images = crops(arguments.batch, arguments.side)
    defense = fit(images)
    check(defense, images)
    about = {"batch": arguments.batch, "side": arguments.side, "threads": arguments.threads}
    share = defense.regions(images).float().mean().item()
    n_atoms, n_features = defense.dictionary.shape
    print(
        f"{arguments.batch} images of {arguments.side} x {arguments.side}, {arguments.threads} "
        f"threads: {n_atoms} atoms of {n_features} numbers, {defense.n_nonzero} per patch, stride "
        f"{defense.stride}; the regions are {share:.0%} of the images"
    )
    rows = []
    for name, work in stages(defense, images).items():
        row = {"stage": name, **clock(work, arguments.rounds), **about}
        rows.append(row)
        print(f"{name:24} {row['median_ms']:8.1f} ms  [{row['q1_ms']:.1f} to {row['q3_ms']:.1f}]")
    if arguments.out is not None:
        header = {"machine": machine(), "commit": commit()}
        arguments.out.write_text(json.dumps({**header, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
