"""Anchor expansion: text features huddle in a cone; stretch it until it fills a half-space."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

SMALLEST = 1e-12  # a sine below this has no azimuth that could be kept


@dataclass(frozen=True)
class AnchorExpansion:
    """Stretches the cone that class texts lie in, about the mean direction of the seen classes.

    With ``u`` a unit feature, ``a`` the axis and ``phi = angle(u, a)``, the anchor is::

        cos(s phi) a + sin(s phi) (u - cos(phi) a) / sin(phi),     s = (pi / 2) / phi_max

    ``phi_max`` is the largest angle of a *seen* class, which so becomes orthogonal to the axis.
    The azimuth about the axis stays. Unseen classes use the same ``a`` and ``s``; where ``s phi``
    would exceed pi it stops there. This is the explicit rotation to polar coordinates, scaling and
    rotation back of the published code, in closed form; it is computed in float64.

    Args:
        axis: Normalised mean of the seen unit features, ``[M]`` float64.
        phi_max: Largest angle of a seen class to it, in radians.

    Example:
        >>> seen = torch.tensor([[1.0, 0.2], [1.0, -0.2]])
        >>> anchors = AnchorExpansion.fit(seen)(seen)
        >>> bool((anchors[0] @ anchors[1]).abs() - 1 < 1e-6)
        True

    Source: LAAT, Li, Zhang, Hu, CVPR 2024, the anchor expansion; this form is derived.
    """

    axis: Tensor
    phi_max: float

    @classmethod
    def fit(cls, seen: Tensor) -> AnchorExpansion:
        """Finds axis and largest angle of the seen classes; no other class may be among them.

        Args:
            seen: Text features ``[C, M]`` of the seen classes, of any norms.

        Raises:
            TypeError: Features are not float.
            ValueError: They have no direction: a zero or infinite row, fewer than two classes, a
                mean of zero, or all of them the same.

        A cone that is wider than a half-space already is contracted, with a warning.
        """
        units = unit_features("AnchorExpansion", seen)
        if len(units) < 2:
            raise ValueError(
                f"AnchorExpansion: seen must be features of at least 2 classes, got {len(units)}"
            )
        mean = units.mean(0)
        if float(mean.norm()) < 1e-8:
            raise ValueError(
                "AnchorExpansion: the seen features must have a mean direction, but they cancel out"
                " (centred already? they need no expansion then)"
            )
        axis = functional.normalize(mean, dim=0)
        phi_max = float(_angles(units, axis)[0].max())
        if phi_max < 1e-6:
            raise ValueError(
                "AnchorExpansion: the seen features must differ in direction, but all are the same"
            )
        if phi_max > math.pi / 2:
            warnings.warn(
                f"AnchorExpansion: a seen class is {math.degrees(phi_max):.1f} degrees from the "
                "mean direction already; anchors are drawn together, not apart",
                stacklevel=2,
            )
        return cls(axis, phi_max)

    @property
    def stretch(self) -> float:
        """Factor of all angles to the axis."""
        return math.pi / 2 / self.phi_max

    def __call__(self, features: Tensor) -> Tensor:
        """Expands features of any classes, ``[C, M]`` to unit anchors of the same dtype.

        A feature that points along the axis, or against it, has no azimuth and stays where it is.

        Raises:
            TypeError: Features are not float.
            ValueError: The widths differ, or a row is zero or infinite.
        """
        units = unit_features("AnchorExpansion", features)
        if units.shape[1] != len(self.axis):
            raise ValueError(
                f"AnchorExpansion: features must be [C, {len(self.axis)}] as those it was fitted "
                f"to, got {list(features.shape)}"
            )
        axis = self.axis.to(units.device)
        phi, across = _angles(units, axis)
        sine = across.norm(dim=1, keepdim=True)
        wider = (phi * self.stretch).clamp(max=math.pi)[:, None]
        moved = wider.cos() * axis + wider.sin() * across / sine.clamp_min(SMALLEST)
        anchors = torch.where(sine < SMALLEST, units, moved)
        return functional.normalize(anchors, dim=1).to(features.dtype)


def unit_features(who: str, features: Tensor) -> Tensor:
    """Scales rows of ``features`` ``[C, M]`` to norm 1 in float64, or says what is wrong."""
    if not isinstance(features, Tensor) or not features.is_floating_point():
        kind = features.dtype if isinstance(features, Tensor) else type(features).__name__
        raise TypeError(f"{who}: features must be a float tensor, got {kind}")
    if features.ndim != 2 or 0 in features.shape:
        raise ValueError(f"{who}: features must be [C, M], got {list(features.shape)}")
    exact = features.detach().double()
    norms = exact.norm(dim=1, keepdim=True)
    bad = torch.nonzero(~(norms[:, 0] > 0) | ~torch.isfinite(norms[:, 0]))[:, 0]
    if len(bad) > 0:
        raise ValueError(
            f"{who}: every feature must be finite and not zero, but row {int(bad[0])} has norm "
            f"{float(norms[bad[0]]):g}"
        )
    return exact / norms


def mean_cosine(anchors: Tensor) -> float:
    """Mean cosine of two different rows ``[C, M]``: how much the anchors huddle.

    Example:
        >>> mean_cosine(torch.eye(3))
        0.0
    """
    between = cosines(anchors)
    count = len(between)
    return float((between.sum() - between.diagonal().sum()) / (count * (count - 1)))


def cosines(anchors: Tensor) -> Tensor:
    """All cosines of rows ``[C, M]``: ``[C, C]`` float64."""
    units = unit_features("cosines", anchors)
    return units @ units.T


def _angles(units: Tensor, axis: Tensor) -> tuple[Tensor, Tensor]:
    """Angles ``[C]`` to the axis, and the parts ``[C, M]`` across it.

    By the tangent: the arc cosine loses half of the digits near the axis.
    """
    along = units @ axis
    across = units - along[:, None] * axis
    return torch.atan2(across.norm(dim=1), along), across
