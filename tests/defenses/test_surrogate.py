"""The identity's gradient in place of a purifier's own."""

import torch

from sparsedef.defenses import Identity


def test_what_changes_nothing_is_differentiated_once() -> None:
    torch.manual_seed(0)
    classifier = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 5))
    defense = Identity(classifier)
    images = torch.rand(2, 3, 4, 4, requires_grad=True)
    (own,) = torch.autograd.grad(defense(images).square().sum(), images)
    (stand_in,) = torch.autograd.grad(defense.surrogate(images).square().sum(), images)
    torch.testing.assert_close(stand_in, own)
