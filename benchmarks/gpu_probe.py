"""Calls every CUDA kernel once on odd shapes, beside the reference: what compute-sanitizer watches.

``compute-sanitizer --tool memcheck python -m benchmarks.gpu_probe``
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import torch

import sparsedef
from sparsedef.testing import TOLERANCES, make_problem

SHAPES = ((1, 3, 5), (33, 17, 70), (5, 64, 1025))  # B, M, N: no multiple of a warp


def probe(device: torch.device, backend: str) -> Iterator[tuple[str, float]]:
    """Runs each op of a backend; yields its name and its residual's distance to the reference."""
    for n_signals, n_features, n_atoms in SHAPES:
        for dtype in (torch.float32, torch.float64):
            x, dictionary = make_problem(n_signals, n_features, n_atoms, dtype=dtype)
            x, dictionary = x.to(device), dictionary.to(device)
            size = x.norm(dim=1).max()
            for nonnegative in (False, True):
                options = {"nonnegative": nonnegative}
                name = f"B{n_signals} M{n_features} N{n_atoms} {dtype} {options}"
                for selection in ("omp", "ols"):
                    found, expected = (
                        sparsedef.omp(
                            x, dictionary, 3, selection=selection, backend=each, **options
                        ).residual
                        for each in (backend, "reference")
                    )
                    yield f"{selection} {name}", float((found - expected).abs().max() / size)
                found, expected = (
                    sparsedef.lasso(x, dictionary, 0.2, backend=each, **options).residual
                    for each in (backend, "reference")
                )
                yield f"lasso {name}", float((found - expected).abs().max() / size)


def main() -> int:
    """Fails unless all agree."""
    device, backend = (torch.device("cuda"), "cuda") if torch.cuda.is_available() else (
        torch.device("cpu"), "cpp"
    )  # fmt: skip
    wrong = 0
    for name, distance in probe(device, backend):
        dtype = torch.float64 if "float64" in name else torch.float32
        # of two answers with a gap of 1e-5 each, residuals differ by the root of it at most
        limit = 1e-2 if name.startswith("lasso") else 10 * TOLERANCES[dtype].close
        if distance > limit:
            wrong += 1
            print(f"WRONG {name}: {distance:.2e} > {limit:.2e}")
    print(f"{backend} on {device}: {wrong} wrong")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
