"""The difference of logits ratio: scale-free, and right about who is misclassified."""

from functools import partial

import pytest
import torch
from torch import Tensor

from sparsedef.attacks.apgd_targeted import likeliest_wrong
from sparsedef.attacks.losses import Loss, dlr, margin, targeted_dlr, targeted_margin

LABELS = torch.arange(40) % 6
WRONG = (LABELS + 1) % 6
AIMED = partial(targeted_dlr, wrong=WRONG)


@pytest.fixture
def logits() -> Tensor:
    return torch.randn(40, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("loss", [dlr, AIMED], ids=["dlr", "targeted"])
def test_ratio_ignores_shift_and_positive_scale(loss: Loss, logits: Tensor) -> None:
    wanted = loss(logits, LABELS)
    # 1e-9: the 1e-12 that keeps the denominator from 0 is felt when the logits shrink
    for scale, shift in ((1e3, 0.0), (0.1, 0.0), (1.0, 50.0), (7.0, -3.0)):
        torch.testing.assert_close(loss(scale * logits + shift, LABELS), wanted, atol=1e-9, rtol=0)


def test_ratio_follows_its_formula() -> None:
    logits = torch.tensor([[5.0, 4.0, 1.0, 0.0, -2.0]])
    for label, wanted in ((0, -(5 - 4) / (5 - 1)), (1, -(4 - 5) / (5 - 1)), (4, 7 / 4)):
        torch.testing.assert_close(dlr(logits, torch.tensor([label])), torch.tensor([wanted]))
    for aim, wanted in ((1, -(5 - 4) / (5 - 0.5)), (3, -(5 - 0) / (5 - 0.5))):
        found = targeted_dlr(logits, torch.tensor([0]), torch.tensor([aim]))
        torch.testing.assert_close(found, torch.tensor([wanted]))


def test_ratio_has_the_sign_of_the_margin(logits: Tensor) -> None:
    assert torch.equal(dlr(logits, LABELS) > 0, margin(logits, LABELS) > 0)
    assert (dlr(logits, LABELS)[margin(logits, LABELS) < 0] >= -1).all()
    aimed = targeted_margin(logits, LABELS, WRONG)
    assert torch.equal(AIMED(logits, LABELS) > 0, aimed > 0)
    assert (margin(logits, LABELS) >= aimed).all()


def test_ratio_stays_finite_where_all_logits_are_equal() -> None:
    logits = torch.zeros(40, 6, requires_grad=True)
    for loss in (dlr, AIMED):
        value = loss(logits, LABELS)
        (grad,) = torch.autograd.grad(value.sum(), logits)
        assert (value == 0).all()
        assert torch.isfinite(grad).all()


def test_targeted_ratio_of_three_classes_uses_the_third_alone() -> None:
    logits = torch.tensor([[3.0, 1.0, 0.5]])
    found = targeted_dlr(logits, torch.tensor([0]), torch.tensor([2]))
    torch.testing.assert_close(found, torch.tensor([-2.5 / 2.5]))


def test_ratio_of_two_classes_is_refused_with_the_way_out() -> None:
    logits, labels = torch.randn(3, 2), torch.tensor([0, 1, 0])
    with pytest.raises(ValueError, match=r"at least 3 classes, got 2 \(pass loss='margin'\)"):
        dlr(logits, labels)
    with pytest.raises(ValueError, match=r"at least 3 classes, got 2 \(pass loss='margin'\)"):
        targeted_dlr(logits, labels, 1 - labels)


def test_likeliest_wrong_ranks_all_classes_but_the_true_one() -> None:
    logits = torch.tensor([[1.0, 5.0, 3.0, 2.0], [9.0, 5.0, 3.0, 7.0]])
    labels = torch.tensor([1, 3])
    assert likeliest_wrong(logits, labels, 2).tolist() == [[2, 3], [0, 1]]
    assert likeliest_wrong(logits, labels, 99).tolist() == [[2, 3, 0], [0, 1, 2]]
