"""What every layer shares: a dictionary that an optimiser may move and that keeps its norms."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsedef.ops.library import as_given, autocasts
from sparsedef.solvers.checks import HALF, check_count, check_dictionary, check_tensor


class DictionaryLayer(nn.Module):
    """Holds the atoms of a layer in one tensor, ``weight`` ``[N, M]``.

    The atoms are the directions of its rows: ``dictionary`` divides each row by its norm. So the
    atoms have norm 1 after any step of any optimiser, with weight decay or without, and the
    gradient of ``weight`` is tangent to the sphere that its row lies on. A row's own length means
    nothing for the codes; it is kept as it is, so that training resumes to the bit: the longer a
    row, the less a step turns it. A row of norm 0 (or below 1e-12 in float32, where a norm loses
    its digits) is an atom of norm 0: it is never used, gets no gradient, and stays.

    Subclasses name the settings that they were made with in ``SETTINGS``; each is an attribute and
    a keyword of the constructor. ``extra_repr`` and saved files are made of them.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = ()

    weight: nn.Parameter

    def __init__(
        self,
        dictionary: Tensor | tuple[int, int],
        *,
        learn_dictionary: bool,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        """Copies atoms ``[N, M]``, or draws N random directions for a shape ``(N, M)``."""
        super().__init__()
        who = type(self).__name__
        if isinstance(dictionary, Tensor):
            weight = check_tensor(who, "dictionary", dictionary).detach()
            if not weight.is_meta:
                check_dictionary(who, weight)
            weight = weight.to(device=device, dtype=dtype, copy=True).contiguous()
        else:
            weight = torch.empty(_shape(who, dictionary), device=device, dtype=dtype)
        self.weight = nn.Parameter(weight, requires_grad=learn_dictionary)
        if not isinstance(dictionary, Tensor):
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the atoms anew, uniform on the sphere, from torch's own random numbers."""
        with torch.no_grad():
            self.weight.normal_()
            self.weight.copy_(_unit(self.weight))

    @property
    def n_atoms(self) -> int:
        """N."""
        return self.weight.shape[0]

    @property
    def n_features(self) -> int:
        """M."""
        return self.weight.shape[1]

    @property
    def dictionary(self) -> Tensor:
        """The atoms ``[N, M]`` of norm 1 (or 0), differentiable; float32 when ``weight`` is half.

        Assigning to it is refused: ``weight`` is what can be set.
        """
        weight = self.weight.float() if self.weight.dtype in HALF else self.weight
        return _unit(weight)

    @property
    def learn_dictionary(self) -> bool:
        """Whether the atoms take part in training."""
        return self.weight.requires_grad

    def settings(self) -> dict[str, Any]:
        """Gives the keywords that make a layer like this one, without its tensors."""
        return {name: getattr(self, name) for name in self.SETTINGS}

    def extra_repr(self) -> str:
        """Says sizes and settings where the module is printed."""
        said = [f"n_atoms={self.n_atoms}", f"n_features={self.n_features}"]
        return ", ".join(said + [f"{key}={value!r}" for key, value in self.settings().items()])

    def decode(self, codes: Tensor) -> Tensor:
        """Gives ``codes @ dictionary`` for codes ``[..., N]``, never in less than float32."""
        codes, back = self._enter(codes, "codes")
        with as_given(codes.device):
            return (codes @ self.dictionary).to(back)

    def _enter(self, x: Tensor, name: str = "x") -> tuple[Tensor, torch.dtype]:
        """Widens what a layer is given to float32 at least, and says what dtype to hand back.

        Under autocast, as after torch's own float32 operations, that is float32 or float64;
        elsewhere the dtype of the input, so that a layer fits between others of its dtype.
        """
        who = type(self).__name__
        x = check_tensor(who, name, x)
        is_auto = autocasts(x.device)
        if x.dtype != self.weight.dtype and not (
            is_auto and torch.float64 not in (x.dtype, self.weight.dtype)
        ):
            raise TypeError(
                f"{who}: {name} must be {self.weight.dtype} as the layer's weight is, got {x.dtype}"
                f" (layer.to({name}.dtype) converts the layer)"
            )
        wide = x.float() if x.dtype in HALF else x
        return wide, wide.dtype if is_auto else x.dtype

    def _rows(self, x: Tensor) -> tuple[Tensor, torch.dtype]:
        """Lays signals ``[..., M]`` out as ``[B, M]``."""
        wide, back = self._enter(x)
        if wide.ndim == 0 or wide.shape[-1] != self.n_features:
            raise ValueError(
                f"{type(self).__name__}: x must be [..., {self.n_features}] to match weight"
                f" {list(self.weight.shape)}, got {list(x.shape)}"
            )
        return wide.reshape(math.prod(wide.shape[:-1]), self.n_features), back

    def _pictures(self, images: Tensor) -> tuple[Tensor, torch.dtype]:
        """Lays images ``[..., C, H, W]`` out as ``[B, C, H, W]``."""
        wide, back = self._enter(images, "images")
        if wide.ndim < 3:
            raise ValueError(
                f"{type(self).__name__}: images must be [..., C, H, W], got {list(images.shape)}"
            )
        return wide.reshape(math.prod(wide.shape[:-3]), *wide.shape[-3:]), back


def _unit(weight: Tensor) -> Tensor:
    norms = torch.linalg.vector_norm(weight, dim=1, keepdim=True)
    # Below this the squares lose their digits and 1 / norm overflows a gradient: no direction.
    limit = torch.finfo(weight.dtype)
    is_there = norms > limit.tiny**0.5 / limit.eps
    return (weight / norms.where(is_there, 1)).where(is_there, 0)


def _shape(who: str, shape: object) -> tuple[int, int]:
    """Demands two counts."""
    if not isinstance(shape, (tuple, list)) or len(shape) != 2:
        got = f"{shape!r}" if isinstance(shape, (tuple, list)) else type(shape).__name__
        raise TypeError(
            f"{who}: dictionary must be a tensor [N, M] of atoms or its shape (N, M), got {got}"
        )
    return check_count(who, "N", shape[0]), check_count(who, "M", shape[1])
