"""What classifiers of sparse codes share: a cap, a refit, and a dense stand-in to attack."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsedef.defenses.semantic.concept_classifier import ConceptClassifier
from sparsedef.defenses.semantic.dense import DenseConcepts
from sparsedef.defenses.semantic.logistic import HeadFit
from sparsedef.ops.support_solve import support_solve

NOTES = (
    "Deterministic, and its gradient is exact almost everywhere, yet that gradient says nothing of "
    "atoms with code 0: attack its dense_surrogate() too and keep the worse result per image. "
    "No defense against l_p attacks, and none against edits that add concepts of another class."
)


class SparseConcepts(ConceptClassifier):
    """Codes the centred embedding sparsely over concepts; see the subclasses for how.

    Args:
        encoder: Images to embeddings.
        dictionary: Embedded concepts, ``[N, M]``.
        n_classes: C.
        options: Of ``ConceptClassifier``.
    """

    notes: ClassVar[str] = NOTES

    dense_scale: Tensor
    dense_offset: Tensor

    def __init__(
        self, encoder: nn.Module, dictionary: Tensor, n_classes: int, **options: Any
    ) -> None:
        """Checks and keeps the settings; see the class."""
        super().__init__(encoder, dictionary, n_classes, **options)
        self.register_buffer("dense_scale", self.weight.new_ones(()))
        self.register_buffer("dense_offset", self.weight.new_zeros(self.weight.shape[1]))

    def fit_head(self, embeddings: Tensor, labels: Tensor, **options: Any) -> HeadFit:
        """Fits the head, and what makes similarities comparable to codes for the stand-in.

        That is the one factor s that brings s (x @ dictionary.T) closest to the codes over the
        training embeddings, both without their means.
        """
        fit = super().fit_head(embeddings, labels, **options)
        codes = self.features_of(embeddings).double()
        with torch.no_grad():
            x = self.centre(embeddings.to(self.bias.device))
            similar = (x @ self.dictionary[self.visible].mT).double()
        code_mean, mean = codes.mean(dim=0), similar.mean(dim=0)
        spread = (similar - mean).square().sum()
        scale = ((codes - code_mean) * (similar - mean)).sum() / spread.where(spread > 0, 1)
        self.dense_scale.copy_(scale)
        self.dense_offset.copy_(code_mean - scale * mean)
        return fit

    def dense_surrogate(
        self,
        embeddings: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        seed: int = 0,
    ) -> DenseConcepts:
        """Gives a dense classifier on the same atoms, to make transfer attacks with.

        Where a code is 0 the sparse classifier's gradient is silent; the stand-in's never is, so
        images made against it find what the exact gradient misses. Without embeddings it has this
        classifier's own head, applied to similarities brought to the scale of the codes,
        W (s x @ dictionary.T + offset) + b. With embeddings it has a head of its own, fitted to
        ``labels``, or to this classifier's own answers where none are given.

        Args:
            embeddings: Clean training embeddings ``[n, M]``.
            labels: ``[n]`` int64.
            seed: Of the held-out examples.

        Returns:
            A defense of the same images, sharing the encoder.

        Raises:
            ValueError: There is no head yet, or labels without embeddings.
        """
        who = type(self).__name__
        if not self.is_fitted:
            raise ValueError(f"{who}: there is no head yet (call fit_head)")
        if embeddings is None and labels is not None:
            raise ValueError(f"{who}: labels need the embeddings that they are of, got none")
        visible = torch.zeros(len(self.dictionary), dtype=torch.bool, device=self.visible.device)
        visible[self.visible] = True
        # the atoms are centred already
        made = DenseConcepts(
            self.encoder, self.dictionary, self.n_classes, names=self.names, visible=visible,
            center="image" if self.centers_images else "none", standardise=self.standardise,
        )  # fmt: skip
        made.image_mean.copy_(self.image_mean)
        made.train(self.training)
        if embeddings is not None:
            if labels is None:
                labels = self.answers(embeddings)
            made.fit_head(embeddings, labels, seed=seed)
            return made
        made.weight.copy_(self.dense_scale * self.weight)
        made.bias.copy_(self.bias + self.weight @ self.dense_offset)
        made.l2, made.is_fitted = self.l2, True
        return made

    def answers(self, embeddings: Tensor, *, batch_size: int = 2048) -> Tensor:
        """The classes of many embeddings ``[n, M]``: ``[n]`` int64, without gradient."""
        with torch.no_grad():
            parts = embeddings.to(self.bias.device).split(batch_size)
            return torch.cat([self.classify(part).argmax(dim=1) for part in parts])


def keep_largest(indices: Tensor, values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Keeps the ``count`` largest of slots ``[B, K]`` by absolute value; others get no gradient.

    Which ones of equal values are kept is torch's choice. Rows of NaN stay rows of NaN.
    """
    if values.shape[1] <= count:
        return indices, values
    kept = values.detach().abs().topk(count, dim=1).indices
    return indices.gather(1, kept), values.gather(1, kept)


def refit(x: Tensor, dictionary: Tensor, indices: Tensor, values: Tensor) -> Tensor:
    """Fits codes anew by least squares on their supports, with the exact gradient for ``x``.

    Per signal with support S: (D_S D_S^T)^-1 D_S x. Signs may change. A support of atoms that
    depend on each other is damped, as in the gradient of ``sparsedef.lasso``.

    Args:
        x: Signals ``[B, M]``.
        dictionary: Atoms, ``[N, M]``; get no gradient.
        indices: Supports, ``[B, K]``, unused slots -1.
        values: Codes to replace, ``[B, K]``; rows with NaN stay as they are.

    Returns:
        ``[B, K]``, 0 in unused slots.
    """
    if indices.numel() == 0:
        return values
    apply: Any = _Refit.apply  # some releases of torch annotate it
    fitted: Tensor = apply(x, dictionary, indices)
    return fitted.where(~values.isnan(), values)


class _Refit(torch.autograd.Function):
    """Both ways are one solve with the support's Gram matrix, which ``support_solve`` does."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dictionary: Tensor, indices: Tensor) -> Tensor:
        ctx.save_for_backward(dictionary, indices)
        similar = (x @ dictionary.mT).gather(1, indices.clamp_min(0))
        return _solve(dictionary, indices, similar, torch.zeros_like(x))[0]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        dictionary, indices = ctx.saved_tensors
        nothing = grad.new_zeros(len(grad), dictionary.shape[1])
        return _solve(dictionary, indices, grad, nothing)[1], None, None


def _solve(
    dictionary: Tensor, indices: Tensor, right: Tensor, nothing: Tensor
) -> tuple[Tensor, Tensor]:
    """Gives u = (D_S D_S^T)^-1 right, ``[B, K]``, and u D_S, ``[B, M]``."""
    right = right.where(indices >= 0, 0).contiguous()
    multiplier, back, _ = support_solve(
        dictionary, indices.contiguous(), right, nothing, None, right, None, False
    )
    return multiplier, back
