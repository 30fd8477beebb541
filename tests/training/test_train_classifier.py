"""Training of classifiers: augmentation, validation, resuming, mistakes."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sparsedef.models import SmallCNN
from sparsedef.training import Step, Tensors, accuracy, train_classifier
from sparsedef.training.augment import flip, shift


def make_images(count: int = 60, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A bright square left or right on noise."""
    generator = torch.Generator().manual_seed(seed)
    images = 0.3 * torch.rand(count, 3, 16, 16, generator=generator)
    labels = torch.arange(count) % 2
    images[labels == 0, :, 5:11, 2:7] += 0.5
    images[labels == 1, :, 5:11, 9:14] += 0.5
    return images, labels


def make_net() -> SmallCNN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SmallCNN(2, size=16, width=4)


def test_it_learns_and_is_the_same_every_time() -> None:
    images, labels = make_images()
    nets = [make_net(), make_net()]
    for net in nets:
        trained = train_classifier(net, images, labels, epochs=8, is_silent=True, batch_size=16)
        assert trained.losses[-1] < 0.3 * trained.losses[0]
    assert accuracy(nets[0], Tensors(*make_images(seed=1))) > 0.95
    states = [net.state_dict() for net in nets]
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])


@pytest.mark.parametrize("recipe", ["adamw", "sgd"])
def test_both_recipes_resume(recipe: str, tmp_path: Path) -> None:
    images, labels = make_images()
    options = {"epochs": 4, "recipe": recipe, "objective": "pgd_at", "eps": 0.1, "flip": True}
    validation = Tensors(*make_images(seed=1))
    net, again = make_net(), make_net()
    train_classifier(net, images, labels, validation=validation, is_silent=True, **options)

    class Stopping(Tensors):
        def batch(self, rows: Tensor) -> tuple[Tensor, ...]:
            if (tmp_path / "state.pt").exists():
                raise KeyboardInterrupt
            return super().batch(rows)

    given = {"validation": validation, "checkpoint": tmp_path / "state.pt", **options}
    with pytest.raises(KeyboardInterrupt):
        train_classifier(again, Stopping(images, labels), is_silent=True, **given)
    again = make_net()
    train_classifier(again, images, labels, is_silent=True, **given)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in net.state_dict().items())


def test_the_objective_is_part_of_the_checkpoint(tmp_path: Path) -> None:
    images, labels = make_images()
    path = tmp_path / "state.pt"
    train_classifier(make_net(), images, labels, epochs=1, checkpoint=path, is_silent=True)
    with pytest.raises(ValueError, match=r"objective was CrossEntropy.*perturb=None.*eps=0.05"):
        train_classifier(
            make_net(), images, labels, epochs=1, checkpoint=path, objective="trades", eps=0.05,
            is_silent=True,
        )  # fmt: skip


def test_each_image_moves_by_its_own_offset() -> None:
    images = torch.zeros(200, 1, 9, 9)
    images[:, :, 4, 4] = 1
    moved = shift(images, Step.single(200, seed=0), reach=2)
    assert torch.equal(moved.sum((1, 2, 3)), torch.ones(200))
    places = moved.flatten(1).argmax(1)
    offsets = {(int(p) // 9 - 4, int(p) % 9 - 4) for p in places}
    assert offsets == {(i, j) for i in range(-2, 3) for j in range(-2, 3)}
    assert torch.equal(shift(images, Step.single(200, seed=0), reach=0), images)


def test_edges_are_repeated() -> None:
    images = torch.rand(20, 3, 8, 8)
    moved = shift(images, Step.single(20, seed=0), reach=2)
    assert moved.shape == images.shape
    assert moved.amin() >= images.amin()  # nothing black comes in


def test_half_of_the_images_are_mirrored() -> None:
    images = torch.rand(400, 3, 4, 4)
    mirrored = flip(images, Step.single(400, seed=0))
    is_same = (mirrored == images).flatten(1).all(1)
    is_flipped = (mirrored == images.flip(3)).flatten(1).all(1)
    assert (is_same ^ is_flipped).all()
    assert 150 < is_flipped.sum() < 250


def test_accuracy_counts_an_answer_of_nan_as_wrong() -> None:
    class Broken(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            logits = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, torch.nan]])
            return logits[: len(images)]

    data = Tensors(torch.rand(3, 3, 4, 4), torch.tensor([0, 1, 0]))
    assert accuracy(Broken(), data) == pytest.approx(1 / 3)


def test_accuracy_asks_in_evaluation_mode_and_in_batches() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(48, 3), nn.BatchNorm1d(3), nn.Dropout(0.9))
    data = Tensors(torch.rand(10, 3, 4, 4), torch.arange(10) % 3)
    whole = accuracy(net, data)
    assert accuracy(net, data, batch_size=1) == whole
    assert net.training


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"objective": "best"}, ValueError, r"objective must be one of \['standard'.*got 'best'"),
        ({"recipe": "lbfgs"}, ValueError, r"recipe must be one of \['adamw', 'sgd'\]"),
        ({"shift": -1}, ValueError, "shift must be at least 0, got -1"),
        ({"epochs": 0}, ValueError, "epochs must be at least 1"),
    ],
)
def test_bad_settings_are_named(options: dict, error: type, message: str) -> None:  # type: ignore
    with pytest.raises(error, match=f"train_classifier: {message}"):
        train_classifier(make_net(), *make_images(), is_silent=True, **options)


def test_labels_must_come_with_images_and_not_with_a_source() -> None:
    images, labels = make_images()
    with pytest.raises(TypeError, match=r"labels must be a torch\.Tensor, got NoneType"):
        train_classifier(make_net(), images)
    with pytest.raises(TypeError, match="labels must be None when images is a source"):
        train_classifier(make_net(), Tensors(images, labels), labels)
