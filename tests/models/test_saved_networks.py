"""Networks on disk: the same answers when read back, and nothing executed."""

from pathlib import Path

import pytest
import torch
from torch import nn

from sparsedef.models import SmallCNN
from sparsedef.models.checkpoint import (
    MODELS,
    NETWORKS,
    load_classifier,
    load_network,
    save_classifier,
    save_network,
)
from sparsedef.models.comdefend import ComDefendCodec

SMALL = {"n_classes": 3, "size": 16, "width": 4}


def save(path: Path, **about: object) -> nn.Module:
    net = SmallCNN(**SMALL)
    save_classifier(path, "small_cnn", SMALL, net, about=about)
    return net


def test_a_classifier_answers_as_before_and_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    net = save(path, seed=3, figures={"clean": 0.9}, losses=[1.0, 0.5], classes=["a", "b", "c"])
    saved = load_classifier(path)
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(saved.model(images), net(images))
    assert not saved.model.training
    assert (saved.name, saved.settings) == ("small_cnn", SMALL)
    assert saved.about["figures"] == {"clean": 0.9}
    assert saved.about["losses"] == [1.0, 0.5]
    assert saved.versions.keys() == {"sparsedef", "torch"}


def test_the_file_is_plain_and_its_weights_are_a_state_dict(tmp_path: Path) -> None:
    net = save(tmp_path / "net.pt")
    content = torch.load(tmp_path / "net.pt", weights_only=True)
    SmallCNN(**SMALL).load_state_dict(content["state_dict"])
    assert content["state_dict"].keys() == net.state_dict().keys()


def test_other_networks_have_the_same_file_but_are_no_classifiers(tmp_path: Path) -> None:
    codec, path = ComDefendCodec(width=1, sigma=5.0), tmp_path / "codec.pt"
    save_network(path, "comdefend", {"width": 1, "sigma": 5.0}, codec)
    saved = load_network(path)
    images = torch.rand(2, 3, 9, 11)
    assert torch.equal(saved.model(images), codec(images))
    assert saved.about == {}
    with pytest.raises(ValueError, match=r"must hold one of \['small_cnn', .*\], got 'comdefend'"):
        load_classifier(path)
    with pytest.raises(ValueError, match=r"save_classifier: name must be one of"):
        save_classifier(path, "comdefend", {}, codec)
    assert MODELS.keys() < NETWORKS.keys()


def test_a_wide_network_is_read_back_by_its_name(tmp_path: Path) -> None:
    settings = {"n_classes": 3, "size": 16}
    model = MODELS["wrn-10-1-silu"](**settings).eval()
    save_classifier(tmp_path / "wide.pt", "wrn-10-1-silu", settings, model)
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(load_classifier(tmp_path / "wide.pt").model(images), model(images))


def test_reading_leaves_the_callers_random_state_alone(tmp_path: Path) -> None:
    save(tmp_path / "net.pt")
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    load_network(tmp_path / "net.pt")
    assert torch.equal(torch.rand(1), expected)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('executed')",)


@pytest.mark.parametrize(
    "content",
    [b"", b"torn", b"nothing", {"a": 1}, [1, 2], torch.ones(2), {"format": "other"}, Evil()],
    ids=["empty", "torn", "nothing", "mapping", "list", "tensor", "format", "code"],
)
def test_other_files_are_refused_and_not_executed(content: object, tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=r"net\.pt' is not a network that sparsedef wrote"):
        load_network(path)


def test_a_newer_file_and_a_missing_one_are_named(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    save(path)
    content = torch.load(path, weights_only=True)
    torch.save({**content, "revision": 2}, path)
    with pytest.raises(ValueError, match="does not know its format"):
        load_network(path)
    torch.save({**content, "name": "vgg"}, path)
    with pytest.raises(ValueError, match=r"name must be one of .*, got 'vgg'"):
        load_network(path)
    with pytest.raises(FileNotFoundError, match=r"must be a file, got '.*gone\.pt'"):
        load_network(tmp_path / "gone.pt")


def test_only_plain_values_are_written(tmp_path: Path) -> None:
    with pytest.raises(
        TypeError, match=r"about\['figures'\]\[1\] must be a plain value, got PosixPath"
    ):
        save(tmp_path / "net.pt", figures=[1.0, tmp_path])
    assert not (tmp_path / "net.pt").exists()
