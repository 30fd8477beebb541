"""The expansion does what it says, exactly: azimuths, a right angle, the seen classes' own cone."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sparsedef.defenses.laat import AnchorExpansion, mean_cosine


def cone(count: int, width: int = 16, seed: int = 0, spread: float = 0.3) -> Tensor:
    """Directions that huddle around one, float64, of any norms."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, width, generator=generator, dtype=torch.float64)
    about = torch.zeros(width, dtype=torch.float64)
    about[0] = 2.0
    lengths = 0.5 + torch.rand(count, 1, generator=generator, dtype=torch.float64)
    return lengths * (about + spread * noise)


def polar(features: Tensor, axis: Tensor) -> tuple[Tensor, Tensor]:
    units = functional.normalize(features, dim=1)
    along = units @ axis
    across = units - along[:, None] * axis
    return torch.atan2(across.norm(dim=1), along), functional.normalize(across, dim=1)


def test_azimuths_are_kept_and_angles_scaled_by_one_factor() -> None:
    seen = cone(12)
    expansion = AnchorExpansion.fit(seen)
    before, after = polar(seen, expansion.axis), polar(expansion(seen), expansion.axis)
    torch.testing.assert_close(after[1], before[1], rtol=0, atol=1e-13)
    torch.testing.assert_close(after[0], before[0] * expansion.stretch, rtol=0, atol=1e-13)


def test_the_farthest_seen_class_is_at_a_right_angle_and_no_other_is_beyond() -> None:
    seen = cone(12)
    expansion = AnchorExpansion.fit(seen)
    along = expansion(seen) @ expansion.axis
    assert along.min().abs() < 1e-13
    assert int(along.argmin()) == int(polar(seen, expansion.axis)[0].argmax())


def test_anchors_are_unit_and_huddle_less() -> None:
    seen = cone(12)
    anchors = AnchorExpansion.fit(seen)(seen)
    torch.testing.assert_close(anchors.norm(dim=1), torch.ones(12).double())
    assert mean_cosine(anchors) < mean_cosine(seen) - 0.2


def test_unseen_classes_use_the_mean_and_the_angle_of_the_seen() -> None:
    seen, unseen = cone(12), cone(5, seed=1)
    expansion = AnchorExpansion.fit(seen)
    alone, together = expansion(unseen), expansion(torch.cat([seen, unseen]))[12:]
    assert torch.equal(alone, together)
    angles = polar(unseen, expansion.axis)[0]
    assert torch.allclose(polar(alone, expansion.axis)[0], angles * expansion.stretch)
    leaked = AnchorExpansion.fit(torch.cat([seen, unseen]))(unseen)
    assert (leaked - alone).abs().max() > 1e-3


def test_norms_of_the_features_do_not_matter() -> None:
    seen = cone(8)
    scaled = seen * torch.linspace(0.1, 9, 8)[:, None]
    one, other = AnchorExpansion.fit(seen)(seen), AnchorExpansion.fit(scaled)(scaled)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-13)


def test_the_closed_form_equals_rotation_to_polar_coordinates_and_back() -> None:
    """The long way: a rotation that brings the axis to e1, the first polar angle scaled, back."""
    seen = cone(10, width=6)
    expansion = AnchorExpansion.fit(seen)
    basis = torch.eye(6, dtype=torch.float64)
    basis[:, 0] = expansion.axis
    turn, _ = torch.linalg.qr(basis)
    turn[:, 0] = expansion.axis  # qr may have flipped it
    turned = functional.normalize(seen, dim=1) @ turn
    angle = turned[:, 0].clamp(-1, 1).acos()
    scaled = angle * (math.pi / 2) / angle.max()
    across = turned[:, 1:] / angle.sin()[:, None] * scaled.sin()[:, None]
    back = torch.cat([scaled.cos()[:, None], across], 1) @ turn.T
    torch.testing.assert_close(expansion(seen), back, rtol=0, atol=1e-12)


def test_a_class_on_the_axis_stays_and_one_far_off_stops_at_pi() -> None:
    seen = torch.tensor([[1.0, 0.5], [1.0, -0.5]], dtype=torch.float64)
    expansion = AnchorExpansion.fit(seen)
    far = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [-1.0, 1e-3]], dtype=torch.float64)
    found = expansion(far)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found[:2], far[:2])
    torch.testing.assert_close(found[2], far[1], rtol=0, atol=1e-12)


def test_half_precision_features_are_expanded_in_double_and_come_back_as_they_were() -> None:
    seen = cone(6)
    found = AnchorExpansion.fit(seen.half())(seen.half())
    exact = AnchorExpansion.fit(seen.half().double())(seen.half().double())
    assert found.dtype == torch.float16
    assert torch.equal(found, exact.half())


@pytest.mark.parametrize(
    ("seen", "message"),
    [
        (torch.ones(1, 4), "at least 2 classes"),
        (torch.ones(3, 4), "differ in direction"),
        (torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), "cancel out"),
        (torch.tensor([[1.0, 0.0], [0.0, 0.0]]), "row 1 has norm 0"),
        (torch.tensor([[1.0, 0.0], [0.0, math.nan]]), "row 1"),
        (torch.ones(4), r"\[C, M\]"),
    ],
    ids=["one", "same", "centred", "zero", "nan", "flat"],
)
def test_features_without_a_cone_are_refused(seen: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AnchorExpansion.fit(seen)


def test_integers_and_other_widths_are_refused() -> None:
    with pytest.raises(TypeError, match="float"):
        AnchorExpansion.fit(torch.ones(2, 2, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"\[C, 16\]"):
        AnchorExpansion.fit(cone(3))(torch.ones(2, 4))


def test_a_cone_wider_than_a_half_space_is_drawn_together_with_a_warning() -> None:
    wide = torch.tensor([[1.0, 0.1], [1.0, -0.1], [-0.9, 1.0]], dtype=torch.float64)
    with pytest.warns(UserWarning, match="drawn together"):
        expansion = AnchorExpansion.fit(wide)
    assert expansion.stretch < 1
    assert (expansion(wide) @ expansion.axis).min().abs() < 1e-12
