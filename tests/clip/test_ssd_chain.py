"""The whole chain of SSD on the small CLIP: scene, image, embedding, LASSO code, logits."""

import pytest
import torch
from torch import Tensor

pytest.importorskip("open_clip")
pytest.importorskip("safetensors")

from sparsedef.attacks.losses import margin
from sparsedef.attacks.semantic.scene_attack import SceneSpace
from sparsedef.clip import ClipEncoder, load_clip
from sparsedef.concepts import concept_dictionary, load_concepts
from sparsedef.defenses.semantic import SSD, Words, embed_images
from sparsedef.worlds import FeasibleSet, Scenes, draw_split
from sparsedef.worlds.parameters import NAMES

STEP = 1e-7  # at 1e-6 some ReLU of some image is crossed, and the difference is off by 0.3 %


def draw(part: str, count: int) -> Scenes:
    scenes = draw_split(part, count)
    return scenes.with_parameters(scenes.parameters.double())


@pytest.fixture(scope="module")
def encoder() -> ClipEncoder:
    return load_clip().double()


@pytest.fixture(scope="module")
def ssd(encoder: ClipEncoder) -> SSD:
    train = draw("train", 240)
    embeddings = embed_images(encoder, train.render())
    concepts = load_concepts("shapeworld").texts
    atoms = concept_dictionary(concepts, encoder.text, template="a shape with {}", center="text")
    kept = atoms.distinct(0.9)
    return SSD.from_embeddings(
        encoder, embeddings, train.classes, Words(kept.atoms, kept.texts), n_classes=24,
        center="image", target_support=4, tol=1e-12, l2=1e-3,
    ).eval()  # fmt: skip


@pytest.mark.parametrize("is_debiased", [False, True], ids=["lasso", "debiased"])
def test_gradient_of_the_whole_chain_agrees_with_finite_differences(
    ssd: SSD, is_debiased: bool
) -> None:
    """Renderer, CLIP, LASSO and head in float64, against central differences in every nuisance."""
    scenes, rows = draw("test", 3), torch.arange(3)
    space = SceneSpace(scenes, FeasibleSet(), 48)
    # away from the corners of the parameters, where the renderer has kinks
    points = space.project(0.9 * space.start + 0.05, rows)
    labels = scenes.classes

    def value(at: Tensor) -> Tensor:
        return margin(ssd.logits(space.images(at, rows)), labels)

    ssd.debias = is_debiased
    try:
        at = points.clone().requires_grad_()
        (grad,) = torch.autograd.grad(value(at).sum(), at)
        with torch.no_grad():
            slopes = []
            for column in range(points.shape[1]):
                step = torch.zeros_like(points)
                step[:, column] = STEP
                slopes.append((value(points + step) - value(points - step)) / (2 * STEP))
    finally:
        ssd.debias = False
    slope = torch.stack(slopes, 1)
    names = [NAMES[i] for i in space.columns.tolist()]
    for column, name in enumerate(names):
        torch.testing.assert_close(
            grad[:, column], slope[:, column], rtol=1e-4, atol=1e-5, msg=name
        )
    assert (grad.abs().amax(0) > 1e-4).sum() >= len(names) - 3, "nearly every nuisance matters"


def test_the_gradient_that_attacks_take_is_that_of_double_precision(ssd: SSD) -> None:
    """Scenes are float32 in attacks; their gradient points where the one in float64 does."""
    scenes = draw("test", 4)

    def gradient(parameters: Tensor) -> Tensor:
        at = parameters.clone().requires_grad_()
        images = scenes.with_parameters(at).render()
        value = margin(ssd.logits(images.to(ssd.bias)), scenes.classes).sum()
        return torch.autograd.grad(value, at)[0].double()

    exact, single = gradient(scenes.parameters), gradient(scenes.parameters.float())
    assert torch.cosine_similarity(exact, single, dim=1).min() > 0.999
