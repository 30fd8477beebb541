"""Dictionaries of concepts: unit atoms, what was taken off, and figures that are right."""

import json
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from vectors import at_angle, encoder

from sparsedef.concepts import (
    Concept,
    ConceptList,
    Dictionary,
    class_membership,
    coherence,
    concept_dictionary,
    distinct_atoms,
    image_atoms,
)


def random_rows(n: int, m: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, m, generator=generator, dtype=torch.float64)


def test_atoms_are_unit_rows_in_the_order_of_the_texts() -> None:
    encode = encoder({"a photo of fur": (3.0, 4.0), "a photo of a tail": (0.0, -2.0)})
    concepts = ConceptList((Concept("fur", "x"), Concept("a tail", "x")))
    found = concept_dictionary(concepts, encode)
    assert torch.equal(found.atoms, torch.tensor([[0.6, 0.8], [0.0, -1.0]]))
    assert found.texts == ("fur", "a tail")
    assert torch.equal(found.mean, torch.zeros(2))
    assert torch.equal(concept_dictionary(["fur", "a tail"], encode).atoms, found.atoms)


def test_centring_takes_the_mean_of_the_unit_embeddings_off() -> None:
    rows = random_rows(30, 8) + 3
    found = concept_dictionary([str(i) for i in range(30)], lambda _: rows, center="text")
    units = rows / rows.norm(dim=1, keepdim=True)
    torch.testing.assert_close(found.mean, units.mean(dim=0))
    torch.testing.assert_close(found.atoms.norm(dim=1), torch.ones(30, dtype=torch.float64))
    parts = units - found.mean
    torch.testing.assert_close(found.atoms * parts.norm(dim=1, keepdim=True), parts)
    raw = concept_dictionary([str(i) for i in range(30)], lambda _: rows)
    assert coherence(raw).mean_cosine > 0.7
    assert abs(coherence(found).mean_cosine) < 0.1


def test_half_precision_becomes_float32_and_the_gradient_stays_outside() -> None:
    for dtype, wanted in [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)]:
        rows = random_rows(3, 4).to(dtype).requires_grad_()
        found = concept_dictionary(["a", "b", "c"], lambda _, rows=rows: rows)
        assert found.atoms.dtype == wanted
        assert not found.atoms.requires_grad
    with pytest.raises(TypeError, match="what encode gives must be float32"):
        concept_dictionary(["a"], lambda _: torch.ones(1, 2, dtype=torch.int64))


def test_what_cannot_be_a_dictionary_is_refused() -> None:
    encode = encoder({"a": (1.0, 2.0), "b": (2.0, 4.0)})
    for options, kind, message in (
        ({"texts": []}, ValueError, "texts must hold a concept"),
        ({"texts": "a"}, TypeError, "texts must be several concepts"),
        ({"center": "both"}, ValueError, r"center must be one of \('none', 'text'\)"),
        ({"template": "{} {}"}, ValueError, "template must have one {}"),
        ({"center": "text"}, ValueError, r"without their mean: .* 2 are not: \['a', 'b'\]"),
    ):
        arguments: dict[str, Any] = {"texts": ["a", "b"], "template": "{}", **options}
        with pytest.raises(kind, match=message):
            concept_dictionary(arguments.pop("texts"), encode, **arguments)


def test_taking_atoms_keeps_texts_and_mean_with_them() -> None:
    angles = {"a": 0, "b": 10, "c": 90, "d": 200}
    encode = encoder({text: at_angle(angle) for text, angle in angles.items()})
    whole = concept_dictionary(list(angles), encode, template="{}", center="text")
    part = whole.take([2, 0])
    assert part.texts == ("c", "a")
    assert torch.equal(part.atoms, whole.atoms[[2, 0]])
    assert torch.equal(part.mean, whole.mean)
    assert (len(whole), len(part)) == (4, 2)
    raw = concept_dictionary(list(angles), encode, template="{}")
    assert raw.distinct().texts == ("a", "c")
    assert raw.distinct(0.95).texts == ("a", "c", "d")


def test_distinct_atoms_refuses_rows_that_are_not_units() -> None:
    with pytest.raises(ValueError, match="distinct_atoms: atoms must have rows of norm 1"):
        distinct_atoms(torch.ones(2, 2))
    with pytest.raises(ValueError, match="similarity must be above 0"):
        distinct_atoms(torch.eye(2), 0.0)


def test_coherence_of_an_orthonormal_dictionary_is_zero_and_of_copies_one() -> None:
    basis = torch.linalg.qr(random_rows(6, 6)).Q
    found = coherence(basis)
    assert found.max_absolute_cosine < 1e-12
    assert abs(found.mean_cosine) < 1e-12
    assert found.effective_rank == pytest.approx(6)
    assert found.energy == pytest.approx([k / 6 for k in range(1, 7)])
    assert found.directions_for(0.5) == 3
    copies = coherence(basis[:1].repeat(5, 1))
    assert copies.mean_cosine == pytest.approx(1)
    assert copies.effective_rank == pytest.approx(1, abs=1e-6)
    assert copies.singular_values[0] == pytest.approx(math.sqrt(5))
    assert copies.directions_for(1.0) == 1


@pytest.mark.parametrize(("n", "m"), [(2, 3), (7, 5), (1030, 4)])
def test_coherence_agrees_with_the_gram_matrix(n: int, m: int) -> None:
    atoms = torch.nn.functional.normalize(random_rows(n, m), dim=1)
    found = coherence(atoms)
    gram = atoms @ atoms.mT
    off = gram[~torch.eye(n, dtype=torch.bool)]
    assert found.mean_cosine == pytest.approx(float(off.mean()), abs=1e-12)
    assert found.mean_absolute_cosine == pytest.approx(float(off.abs().mean()))
    assert found.max_absolute_cosine == pytest.approx(float(off.abs().max()))
    first, second = (int(each) for each in found.most_alike)
    assert abs(float(gram[first, second])) == pytest.approx(found.max_absolute_cosine)
    eigenvalues = torch.linalg.eigvalsh(atoms.mT @ atoms).flip(0)[: min(n, m)]
    assert sum(each**2 for each in found.singular_values) == pytest.approx(n)
    assert found.energy == pytest.approx((eigenvalues.cumsum(0) / n).tolist())
    share = [each / sum(found.singular_values) for each in found.singular_values]
    assert found.effective_rank == pytest.approx(math.exp(-sum(p * math.log(p) for p in share)))
    assert len(found.energy) == min(n, m)


def test_coherence_names_the_texts_and_goes_to_json() -> None:
    encode = encoder({"a": at_angle(0), "b": at_angle(100), "c": at_angle(190)})
    found = coherence(concept_dictionary(["a", "b", "c"], encode, template="{}"))
    assert found.most_alike == ("a", "c")
    assert found.max_absolute_cosine == pytest.approx(math.cos(math.radians(10)))
    again = json.loads(found.to_json())
    assert again["most_alike"] == ["a", "c"]
    assert again["singular_values"] == list(found.singular_values)


def test_coherence_refuses_what_has_none() -> None:
    with pytest.raises(ValueError, match="at least two atoms"):
        coherence(torch.ones(1, 1))
    with pytest.raises(ValueError, match="must have rows of norm 1"):
        coherence(torch.ones(2, 2))
    with pytest.raises(ValueError, match="finite"):
        coherence(torch.tensor([[1.0, 0.0], [torch.nan, 0.0]]))
    with pytest.raises(TypeError, match=r"must be a torch\.Tensor"):
        coherence([[1.0]])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="share must be above 0"):
        coherence(torch.eye(2)).directions_for(0.0)


def test_image_atoms_are_directions_of_means_of_units() -> None:
    embeddings = random_rows(12, 5) * torch.arange(1, 13)[:, None]
    labels = torch.tensor([0, 1, 2] * 4)
    atoms = image_atoms(embeddings, labels)
    units = torch.nn.functional.normalize(embeddings, dim=1)
    for group in range(3):
        mean = units[labels == group].mean(dim=0)
        torch.testing.assert_close(atoms[group], mean / mean.norm())
    torch.testing.assert_close(image_atoms(embeddings * 7, labels), atoms)
    membership = labels[:, None] == torch.arange(3)
    torch.testing.assert_close(image_atoms(embeddings, membership), atoms)


def test_image_atoms_of_shared_concepts_average_over_their_classes() -> None:
    concepts = ConceptList(
        (Concept("four legs", "x", ("cat", "dog")), Concept("whiskers", "x", ("cat",)))
    )
    labels = torch.tensor([0, 1, 1, 2])
    classes = ["cat", "dog", "frog"]
    embeddings = random_rows(4, 5)
    atoms = image_atoms(embeddings, class_membership(concepts, classes)[labels])
    assert atoms.shape == (2, 5)
    torch.testing.assert_close(atoms[1], embeddings[0] / embeddings[0].norm())
    torch.testing.assert_close(atoms[:1], image_atoms(embeddings[:3], torch.zeros(3).long()))
    with pytest.raises(ValueError, match=r"1 do not: 'whiskers' names \('cat',\)"):
        class_membership(concepts, ["dog"])


def test_image_atoms_have_exact_gradients() -> None:
    embeddings = random_rows(6, 3).requires_grad_()
    labels = torch.tensor([0, 1, 0, 1, 1, 0])
    assert torch.autograd.gradcheck(lambda x: image_atoms(x, labels), embeddings)


def test_image_atoms_refuse_what_they_cannot_average() -> None:
    rows = random_rows(3, 2)
    labels = torch.tensor([0, 2, 0])
    pairs = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    for embeddings, membership, kind, message in (
        (rows, labels, ValueError, r"each group must have an image, 1 of 3 have none: \[1\]"),
        (rows, labels[:2], ValueError, "for 3 images, got"),
        (rows, labels.float(), TypeError, "labels .* of integers, got torch.float32"),
        (rows, [0, 0, 1], TypeError, "membership must be a torch.Tensor, got list"),
        (rows, labels - 1, ValueError, "labels must be at least 0, got -1"),
        (rows[0], labels, ValueError, r"embeddings must be \[B, M\]"),
        (rows * torch.nan, labels // 2, ValueError, "embeddings: .* finite"),
        (pairs, torch.tensor([0, 0, 1]), ValueError, r"means: .*1 are not: \['group 0'\]"),
        (rows, torch.ones(3, dtype=torch.bool), ValueError, r"membership must be \[B, N\] bool"),
    ):
        with pytest.raises(kind, match=message):
            image_atoms(embeddings, membership)  # type: ignore[arg-type]


def test_rows_to_take_are_numbers_that_are_there() -> None:
    found = Dictionary(torch.eye(2), ("a", "b"), torch.zeros(2), "{}", "none")
    assert found.take(torch.tensor([1])).texts == ("b",)
    with pytest.raises(TypeError, match="rows must be numbers, got a mask"):
        found.take(torch.tensor([True, False]))
    with pytest.raises(IndexError):
        found.take([2])
