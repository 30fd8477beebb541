"""ISTA and FISTA on a CPU: matrix products by torch, all else in one native pass per step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from sparsedef import _C
from sparsedef.backends.cpp.threads import n_threads
from sparsedef.backends.memory import demand
from sparsedef.backends.shrinkage import lipschitz
from sparsedef.backends.slots import Solved, lay_out

_CHECK_EVERY = 10  # steps between two looks at the gap
_LANES = 32  # atoms are padded to a multiple of it
_WORKSPACE = 1 << 24  # bytes, when the caller sets no bound: rows stay in the last cache level


def proximal(
    x: Tensor,
    dictionary: Tensor,
    alpha: Tensor,
    ridge: Tensor | None,
    init: Tensor | None,
    nonnegative: bool,
    tol: float,
    max_iter: int,
    algorithm: str,
    slots: int,
    max_memory: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Solves the LASSO of each signal by ``"ista"`` or ``"fista"`` with adaptive restart.

    The steps are the reference's. For N > 2 M a step makes two products with the dictionary (the
    direct form), else one with its Gram matrix (the Gram form), if ``max_memory`` leaves room for
    that. Certificates always come from the residual, never from the Gram matrix.

    Raises:
        ValueError: ``max_memory`` is too small for a single signal.
    """
    has_momentum = algorithm == "fista"
    is_gram, most = _plan(x, dictionary, has_momentum, slots, max_memory)
    outputs = Solved.empty(x, len(dictionary), slots).outputs()
    with _full_float32():
        atoms = _Atoms.of(dictionary, ridge, is_gram)
        for start in range(0, len(x), most):
            part = slice(start, start + most)
            first = None if init is None else init[part]
            solved = _solve(
                x[part], atoms, alpha[part], first, nonnegative, tol, max_iter, has_momentum, slots
            )
            for whole, piece in zip(outputs, solved, strict=True):
                whole[part] = piece
            del solved
    return outputs


def _plan(
    x: Tensor, dictionary: Tensor, has_momentum: bool, slots: int, max_memory: int
) -> tuple[bool, int]:
    """Chooses the form (Gram or direct), and how many signals are at work at once."""
    n_atoms, n_features = dictionary.shape
    stride = _padded(n_atoms)
    padded = 0 if stride == n_atoms else stride * n_features
    signal = (3 if has_momentum else 2) * stride + 2 * n_atoms + 4 * n_features + 32
    if slots:
        signal += n_atoms + 12 * slots  # what packing needs
    gram, gram_signal = stride**2, signal + stride
    is_gram = n_atoms <= 2 * n_features
    if max_memory == 0:
        room = _WORKSPACE // x.element_size()
        return is_gram, max(1, room // (gram_signal if is_gram else signal))
    products = 4 * min(n_atoms, n_features) ** 2  # for the step size; freed before the signals come
    demand(max(products, padded + signal), max_memory, x.dtype, dictionary.shape)
    room = max_memory // x.element_size() - padded
    if is_gram and room >= gram + gram_signal:
        return True, (room - gram) // gram_signal
    return False, room // signal


@dataclass(frozen=True)
class _Atoms:
    """The dictionary made ready, its N atoms padded with zeros to S, a multiple of 32."""

    n_atoms: int
    dictionary: Tensor  # [S, M]
    is_used: Tensor  # [N] atoms of norm 0 stay unused
    gram: Tensor | None  # [S, S], in Gram form
    ridge: Tensor | None  # [S]
    step: float

    @classmethod
    def of(cls, dictionary: Tensor, ridge: Tensor | None, is_gram: bool) -> _Atoms:
        tiny = torch.finfo(dictionary.dtype).tiny
        step = float(1 / lipschitz(dictionary, ridge).clamp_min(tiny))
        padding = _padded(len(dictionary)) - len(dictionary)
        rows = pad(dictionary, (0, 0, 0, padding)) if padding else dictionary
        if ridge is not None:
            ridge = pad(ridge.to(rows.dtype), (0, padding)).contiguous()
        gram = rows @ rows.mT if is_gram else None
        return cls(len(dictionary), rows, dictionary.any(dim=1), gram, ridge, step)


class _Open:
    """The signals that are not done: their state in adjoining rows, and the native calls on it."""

    def __init__(
        self,
        x: Tensor,
        atoms: _Atoms,
        alpha: Tensor,
        init: Tensor | None,
        nonnegative: bool,
        has_momentum: bool,
    ) -> None:
        self.atoms, self.nonnegative = atoms, nonnegative
        self.x, self.alpha = x, alpha
        self.codes = x.new_zeros(len(x), len(atoms.dictionary))
        if init is not None:
            self.codes[:, : atoms.n_atoms] = init.where(atoms.is_used, 0)
        self.point = self.codes.clone() if has_momentum else None
        self.pace = x.new_ones(len(x))
        self.target = None if atoms.gram is None else x @ atoms.dictionary.mT
        self.product = torch.empty_like(self.codes)
        self.residual = torch.empty_like(x)

    def step(self) -> None:
        point = self.codes if self.point is None else self.point
        if self.atoms.gram is None:
            self._correlate(point)
        else:
            torch.mm(point, self.atoms.gram, out=self.product)
        is_double = self.x.dtype == torch.float64
        kernel = _C.proximal_step_cpu_double if is_double else _C.proximal_step_cpu_float
        kernel(
            codes=self.codes.data_ptr(),
            point=_address(self.point),
            pace=self.pace.data_ptr(),
            correlations=(self.product if self.target is None else self.target).data_ptr(),
            product=0 if self.target is None else self.product.data_ptr(),
            ridge=_address(self.atoms.ridge),
            alpha=self.alpha.data_ptr(),
            step=self.atoms.step,
            n_signals=len(self.x),
            stride=self.codes.shape[1],
            is_nonnegative=self.nonnegative,
            n_threads=n_threads(),
        )

    def gap(self) -> Tensor:
        """Gives the relative gap ``[n]`` and leaves the residual of the codes."""
        self._correlate(self.codes)
        gap = torch.empty_like(self.alpha)
        is_double = self.x.dtype == torch.float64
        kernel = _C.proximal_gap_cpu_double if is_double else _C.proximal_gap_cpu_float
        kernel(
            x=self.x.data_ptr(),
            residual=self.residual.data_ptr(),
            codes=self.codes.data_ptr(),
            correlations=self.product.data_ptr(),
            ridge=_address(self.atoms.ridge),
            alpha=self.alpha.data_ptr(),
            gap=gap.data_ptr(),
            n_signals=len(self.x),
            n_features=self.x.shape[1],
            stride=self.codes.shape[1],
            is_nonnegative=self.nonnegative,
            n_threads=n_threads(),
        )
        return gap

    def _correlate(self, codes: Tensor) -> None:
        torch.addmm(self.x, codes, self.atoms.dictionary, alpha=-1, out=self.residual)
        torch.mm(self.residual, self.atoms.dictionary.mT, out=self.product)

    def keep(self, kept: Tensor) -> None:
        """Moves the rows ``kept`` together, each array into one that is free: nothing is new."""
        free = self.product
        self.codes, free = _move(self.codes, kept, free)
        if self.point is not None:
            self.point, free = _move(self.point, kept, free)
        if self.target is not None:
            self.target, free = _move(self.target, kept, free)
        self.product = free[: len(kept)]
        self.x, free = _move(self.x, kept, self.residual)
        self.residual = free[: len(kept)]
        self.alpha, self.pace = self.alpha[kept], self.pace[kept]


def _solve(
    x: Tensor,
    atoms: _Atoms,
    alpha: Tensor,
    init: Tensor | None,
    nonnegative: bool,
    tol: float,
    max_iter: int,
    has_momentum: bool,
    slots: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Solves one chunk, each signal scaled to about 1."""
    finite = x.isfinite().all(dim=1)
    signals = x.where(finite[:, None], 0)
    scale = _power_of_two(signals)
    signals *= scale
    state = _Open(
        signals,
        atoms,
        alpha.to(x.dtype) * scale[:, 0],
        None if init is None else init.to(x.dtype) * scale,
        nonnegative,
        has_momentum,
    )
    codes, residual, gap, n_iter = _run(state, tol, max_iter)
    del state
    codes /= scale
    residual /= scale
    return lay_out(codes, residual, gap, n_iter, tol, finite, slots)


def _run(state: _Open, tol: float, max_iter: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Iterates; returns codes ``[B, N]``, residual ``[B, M]``, gap ``[B]``, steps ``[B]``."""
    n_atoms = state.atoms.n_atoms
    codes = state.codes.new_empty(len(state.codes), n_atoms)
    residual, gap = torch.empty_like(state.x), torch.empty_like(state.alpha)
    n_iter = torch.zeros(len(codes), dtype=torch.int32)
    rows = torch.arange(len(codes))
    for done in range(max_iter + 1):
        if done == max_iter or (tol > 0 and done % _CHECK_EVERY == 0):
            found = state.gap()
            is_open = (found > tol) & (done < max_iter)
            left, kept = (~is_open).nonzero()[:, 0], is_open.nonzero()[:, 0]
            at = rows[left]
            codes[at] = state.codes[left, :n_atoms]
            residual[at], gap[at], n_iter[at] = state.residual[left], found[left], done
            if len(kept) == 0:
                break
            if len(left):
                state.keep(kept)
                rows = rows[kept]
        state.step()
    return codes, residual, gap, n_iter


def _power_of_two(x: Tensor) -> Tensor:
    """Gives factors ``[B, 1]`` that bring each signal near 1 and change no bit of its answer."""
    info = torch.finfo(x.dtype)
    peak = x.abs().amax(dim=1, keepdim=True).clamp(info.tiny, info.max / 8)
    return torch.frexp(peak).mantissa / peak


def _move(rows: Tensor, kept: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
    """Puts ``rows[kept]`` into ``free``; gives them, and the memory that is free now."""
    return torch.index_select(rows, 0, kept, out=free[: len(kept)]), rows


def _padded(n_atoms: int) -> int:
    return -(-n_atoms // _LANES) * _LANES


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


@contextmanager
def _full_float32() -> Iterator[None]:
    """Keeps torch from multiplying in bfloat16, which users can allow it for their networks."""
    matmul: Any = getattr(torch.backends.mkldnn, "matmul", None)  # since torch 2.9
    if hasattr(matmul, "fp32_precision"):
        before = matmul.fp32_precision
        matmul.fp32_precision = "ieee"
        try:
            yield
        finally:
            matmul.fp32_precision = before
    else:
        setting = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(setting)
