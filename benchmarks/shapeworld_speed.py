"""Images a second that ShapeWorld draws on one thread, with and without a gradient.

``python -m benchmarks.shapeworld_speed`` prints, for each size, the fastest and the median of
several calls, in processor time of the one thread. Other jobs on the machine still take caches
and memory away, so that there only the fastest means something.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import Tensor

from sparsedef.worlds import Scenes, sample_scenes


def draw(scenes: Scenes, size: int) -> Tensor:
    with torch.no_grad():
        return scenes.render(size=size)


def draw_and_differentiate(scenes: Scenes, size: int) -> Tensor:
    parameters = scenes.parameters.clone().requires_grad_()
    scenes.with_parameters(parameters).render(size=size).sum().backward()
    assert parameters.grad is not None
    return parameters.grad


def rates(call: Callable[[], Tensor], n_images: int, seconds: float) -> tuple[float, float]:
    """Images a second: the fastest call and the median one, after one to warm up."""
    checked = call()
    if not bool(checked.isfinite().all()):
        raise ValueError("shapeworld_speed: images and gradients must be finite")
    taken: list[float] = []
    began = time.perf_counter()
    while len(taken) < 3 or time.perf_counter() - began < seconds:
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return n_images / min(taken), n_images / median(taken)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Times ShapeWorld's renderer on one thread.")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 48, 64])
    parser.add_argument("--seconds", type=float, default=4.0, help="per size and kind")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    scenes = sample_scenes(torch.Generator().manual_seed(0), chosen.batch)
    print(f"{'size':>4}  {'':16}  {'fastest':>9}  {'median':>9}  images/s a thread")
    for size in chosen.sizes:
        for name, call in (("no gradient", draw), ("with backward", draw_and_differentiate)):
            best, middle = rates(lambda c=call, s=size: c(scenes, s), chosen.batch, chosen.seconds)
            print(f"{size:>4}  {name:16}  {best:9.0f}  {middle:9.0f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
