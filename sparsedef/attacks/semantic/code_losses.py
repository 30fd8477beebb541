"""Losses of a sparse code, for attacks on what a classifier reads, not on what it answers.

A model that classifies by the code of an image over named atoms is attacked through these parts
of it (``CodeModel``); no class of it need be known here.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from sparsedef.attacks.losses import margin
from sparsedef.attacks.semantic.search import ModelLoss, as_logits
from sparsedef.attacks.target import owner
from sparsedef.solvers.checks import check_count


@runtime_checkable
class CodeModel(Protocol):
    """What a model must have to be attacked in its code: ``logits = head_weight code + bias``.

    With D the dictionary ``[N, M]``, e the embedding and r = e - code D the residual:

    - ``head_weight``: weights of the linear head on the codes, ``[classes, N]``, any
      standardisation of the codes folded in;
    - ``code(images)``: ``[B, N]``, differentiable;
    - ``correlations(images)``: ``D_j . r`` for each atom, ``[B, N]``, differentiable.
    """

    @property
    def head_weight(self) -> Tensor:
        """Weights of the head, ``[classes, N]``."""

    def code(self, images: Tensor) -> Tensor:
        """Codes images ``[B, 3, H, W]``: ``[B, N]``."""

    def correlations(self, images: Tensor) -> Tensor:
        """Correlates the residual of images with the atoms: ``[B, N]``."""


class ConceptLoss:
    """Adds concepts of another class: the head's margin, of the code alone.

    Per image, with y the true class, W the head and z the code:

        ``max over t != y of (W_t - W_y) . z``

    Edits that add relevant concepts of another class lie inside the dictionary, where the
    residual absorbs nothing. At an atom that is not in the code, z has no gradient; with
    ``sees_inactive``, ``z + D r`` takes its place, what the soft threshold of the LASSO is applied
    to (``z = soft(z + D r, alpha)``), so that such atoms pull as well.

    Args:
        wrong: Climb towards this class; ``None`` for the nearest wrong one at every step.
        sees_inactive: Also climb through the atoms that are not in the code.
    """

    def __init__(self, *, wrong: int | None = None, sees_inactive: bool = False) -> None:
        """Keeps the settings; see the class."""
        self.wrong = None if wrong is None else check_count("ConceptLoss", "wrong", wrong, 0)
        self.sees_inactive = sees_inactive

    def __call__(self, model: Any, images: Tensor, labels: Tensor) -> Tensor:
        """The value per image, ``[B]``; higher is more wrong."""
        model = check_code_model("ConceptLoss", model)
        codes = model.code(images)
        if self.sees_inactive:
            codes = codes + model.correlations(images)
        scores = codes @ model.head_weight.mT.to(codes)
        if self.wrong is None:
            return margin(scores, labels)
        if self.wrong >= scores.shape[1]:
            raise ValueError(
                f"ConceptLoss: wrong must be < {scores.shape[1]}, the number of classes,"
                f" got {self.wrong}"
            )
        return scores[:, self.wrong] - scores.gather(1, labels[:, None])[:, 0]


class SupportLoss:
    """Drives the atoms that speak for the true class out of the code.

    With y the true class, ``v_j = W_yj - mean over classes of W_cj``, S_y the ``k`` atoms with the
    largest ``|v_j|``, z the code and r the residual:

        ``- sum over j in S_y of max(sign(v_j) (z_j + D_j . r), 0)``

    While an atom is in the code, ``|D_j . r|`` is alpha exactly and has no gradient, so this takes
    ``z_j + D_j . r``, whose size is ``|z_j| + alpha`` then, and ``|D_j . r|`` once the atom has
    left: it drives an atom across the threshold and on to no correlation. Where an atom speaks
    against the class already, nothing is gained by changing it, hence the sign.

    Args:
        k: Atoms per class, at most; all of them where there are fewer.
    """

    def __init__(self, k: int = 10) -> None:
        """Keeps the settings; see the class."""
        self.k = check_count("SupportLoss", "k", k)

    def __call__(self, model: Any, images: Tensor, labels: Tensor) -> Tensor:
        """The value per image, ``[B]``; higher is more wrong, at most 0."""
        model = check_code_model("SupportLoss", model)
        values = model.code(images) + model.correlations(images)
        weight = model.head_weight.detach().to(values)
        speaks = (weight - weight.mean(0))[labels]
        atoms = speaks.abs().topk(min(self.k, weight.shape[1]), dim=1).indices
        signs, chosen = speaks.gather(1, atoms).sign(), values.gather(1, atoms)
        return -(signs * chosen).clamp_min(0).sum(1)


class CodeGradient(nn.Module):
    """Lets an attack on pixels climb a loss of the code: pass it as ``gradient_model``.

    Its logits are not the model's: they are 0 but for the true class, so that their margin is the
    loss; what counts as fooled, and as strongest, is the attacked model's affair all the same.
    For attacks that show the whole batch at once, in its order: FGSM, BIM, PGD, MI-FGSM.

    Args:
        model: A ``CodeModel``: mostly the attacked one.
        loss: ``ConceptLoss()``, ``SupportLoss()`` or any ``(model, images, labels) -> [B]``.
        labels: True classes of the images that are going to be attacked, ``[B]``.

    Example:
        ``PGD(8 / 255)(ssd, x, y, gradient_model=CodeGradient(ssd, SupportLoss(), y))``
    """

    def __init__(self, model: Any, loss: ModelLoss, labels: Tensor) -> None:
        """Keeps the settings; see the class."""
        super().__init__()
        self.model = model
        self.loss = loss
        self.labels = labels

    @property
    def is_random(self) -> bool:
        """Whether the model says that it is."""
        return bool(getattr(owner(self.model), "is_random", False))

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[B, classes]`` whose margin is the loss."""
        if len(images) != len(self.labels):
            raise ValueError(
                f"CodeGradient: images must be the {len(self.labels)} that labels are of,"
                f" got {len(images)} (an attack that drops fallen images? use PGD)"
            )
        return as_logits(self.loss(self.model, images, self.labels), self.labels)


def check_code_model(who: str, model: object) -> CodeModel:
    """Returns ``model``; raises unless it has what ``CodeModel`` asks for."""
    missing = [part for part in ("head_weight", "code", "correlations") if not hasattr(model, part)]
    if missing:
        raise TypeError(
            f"{who}: the model must have head_weight, code and correlations,"
            f" got {type(model).__name__} without {' and '.join(missing)}"
        )
    assert isinstance(model, CodeModel)
    return model
