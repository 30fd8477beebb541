"""One call loads any data set by name, and says what it does not take."""

import sys
from pathlib import Path

import pytest
import torch
from small_files import write_cifar10_binary, write_class_folders

from sparsedef.data import BUILT_IN, DATASETS, load_dataset
from sparsedef.data.parts import stratified


def test_the_names_that_users_are_told_are_there() -> None:
    assert set(BUILT_IN) >= {"digits", "photographs"}
    told = {"cifar10", "cifar100", "imagenet", "imagenette", "imagewoof", "folder"}
    assert set(DATASETS) >= {*told, *BUILT_IN}
    assert not told & set(BUILT_IN)


def test_every_option_reaches_the_loader(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    write_cifar10_binary(tmp_path)
    data = load_dataset(
        "cifar10", root=tmp_path, seed=5, size=16, n_train=12, n_validation=3, n_test=4
    )
    assert data.train.images.shape == (12, 3, 16, 16)
    assert (len(data.validation), len(data.test)) == (3, 4)
    direct = DATASETS["cifar10"](tmp_path, seed=5)
    assert data.test.ids == direct.test.ids[:4]


def test_limits_also_cut_what_comes_with_the_packages() -> None:
    pytest.importorskip("sklearn")
    whole = load_dataset("digits", seed=2)
    few = load_dataset("digits", seed=2, n_train=30, n_validation=0, n_test=20)
    assert len(few.train) == 30
    assert len(few.validation) == 0
    assert set(few.test.ids) < set(whole.test.ids)
    assert few.train.labels.bincount(minlength=10).tolist() == [3] * 10
    row = whole.test.ids.index(few.test.ids[0])
    assert torch.equal(few.test.images[0], whole.test.images[row])
    with pytest.raises(ValueError, match="n_test must be from 0 to 400, the images digits has"):
        load_dataset("digits", n_test=401)


def test_mistakes_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"must be one of \['digits', .*got 'cifar-10' \(cifar10\?\)"
    ):
        load_dataset("cifar-10")
    with pytest.raises(
        ValueError, match="digits comes with the installed packages and takes no root"
    ):
        load_dataset("digits", root=tmp_path)
    for name in set(DATASETS) - set(BUILT_IN):
        with pytest.raises(ValueError, match="root must be the folder with"):
            load_dataset(name)
        with pytest.raises(FileNotFoundError, match="there is no folder '/nowhere'"):
            load_dataset(name, root="/nowhere")


def test_without_pillow_the_way_out_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("PIL")
    write_class_folders(tmp_path, {"a": 5, "b": 5})
    write_cifar10_binary(tmp_path / "cifar")
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    for name in ("folder", "imagenet", "imagenette", "imagewoof"):
        with pytest.raises(ImportError, match=r"Pillow, which is not installed \(pip install"):
            load_dataset(name, root=tmp_path)
    with pytest.raises(ImportError, match="Pillow"):
        load_dataset("cifar10", root=tmp_path / "cifar", size=64)
    assert len(load_dataset("cifar10", root=tmp_path / "cifar").test) == 20


def test_the_order_is_stratified_whatever_the_class_sizes() -> None:
    labels = torch.tensor([0] * 50 + [1] * 30 + [2] * 15 + [3] * 5)
    for seed in range(5):
        order = stratified(labels, seed)
        assert sorted(order) == list(range(100))
        for count in range(1, 101):
            found = labels[order[:count]].bincount(minlength=4)
            expected = torch.tensor([50, 30, 15, 5]) * count / 100
            assert (found - expected).abs().max() <= 2
    assert stratified(labels, 1) == stratified(labels, 1) != stratified(labels, 2)


def test_the_random_state_of_the_caller_is_left_alone(tmp_path: Path) -> None:
    write_cifar10_binary(tmp_path)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    load_dataset("cifar10", root=tmp_path, seed=9)
    assert torch.equal(torch.get_rng_state(), before)
