"""The stored texts of ShapeWorld are the small CLIP's, and the expansion spreads them."""

import argparse
from pathlib import Path

import pytest
import torch

from sparsedef.defenses.laat import (
    AnchorExpansion,
    embed_classes,
    mean_cosine,
    shapeworld_texts,
    write_shapeworld_texts,
)
from sparsedef.defenses.laat.texts import load_class_texts

pytest.importorskip("open_clip")


def test_the_stored_texts_are_those_of_the_small_clip(tmp_path: Path) -> None:
    from sparsedef.clip import load_small_clip

    write_shapeworld_texts(load_small_clip(), tmp_path / "again.json")
    again = load_class_texts(tmp_path / "again.json")
    stored, _ = shapeworld_texts()
    assert again.names == stored.names
    torch.testing.assert_close(again.features, stored.features, rtol=0, atol=1e-4)


def test_the_small_clip_gives_the_command_the_stored_texts() -> None:
    from sparsedef.commands.train import KINDS
    from sparsedef.commands.train_laat import load_texts
    from sparsedef.data.compositions import load_compositions

    parser = argparse.ArgumentParser()
    KINDS["laat"].add_arguments(parser)
    arguments = parser.parse_args(["--out", "x.pt", "--clip", "small"])
    data = load_compositions(size=16, n_train=1, n_validation=1, n_test=1)
    found, concepts = load_texts(arguments, data)
    torch.testing.assert_close(found.features, shapeworld_texts()[0].features, rtol=0, atol=1e-4)
    assert concepts is None


def test_the_expansion_lowers_the_mean_cosine_of_other_prompts_too() -> None:
    from sparsedef.clip import load_small_clip

    texts = embed_classes(load_small_clip(), shapeworld_texts()[0].names, templates=["a {}"])
    seen, unseen = texts.features[::2], texts.features[1::2]
    expansion = AnchorExpansion.fit(seen)
    assert mean_cosine(expansion(seen)) < mean_cosine(seen) - 0.1
    assert mean_cosine(expansion(unseen)) < mean_cosine(unseen) - 0.1
