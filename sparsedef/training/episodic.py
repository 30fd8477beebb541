"""Adversarial querying: few-shot training in episodes whose query images are attacked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsedef.solvers.checks import check_count
from sparsedef.training.inner import LinfAscent
from sparsedef.training.step import Batch, Source, Step, generator_of

# features [n, M], labels [n], number of classes, to prototypes [C, M]
Prototypes = Callable[[Tensor, Tensor, int], Tensor]


class EpisodeSource:
    """A source whose samples are episodes: supports and queries of a few classes.

    Args:
        source: Images and labels.
        labels: All labels of ``source``, ``[n]``.
        count: Episodes of an epoch; the same ones in every epoch.
        n_way: Classes of an episode.
        n_shot: Support images of each.
        n_query: Query images of each.
        seed: Of the draws.

    Raises:
        ValueError: There are too few classes, or too few images of one.
    """

    def __init__(
        self,
        source: Source,
        labels: Tensor,
        count: int,
        *,
        n_way: int = 5,
        n_shot: int = 5,
        n_query: int = 5,
        seed: int = 0,
    ) -> None:
        """Checks and keeps them; see the class."""
        self.source, self.seed = source, seed
        self.count = check_count("EpisodeSource", "count", count)
        self.n_way, self.n_shot, self.n_query = n_way, n_shot, n_query
        self.rows = [torch.nonzero(labels == label)[:, 0] for label in labels.unique().tolist()]
        fewest = min((len(own) for own in self.rows), default=0)
        if len(self.rows) < n_way or fewest < n_shot + n_query:
            raise ValueError(
                f"EpisodeSource: there must be {n_way} classes with {n_shot + n_query} images "
                f"each, got {len(self.rows)} with {fewest} at least"
            )

    def __len__(self) -> int:
        """Number of episodes."""
        return self.count

    def batch(self, rows: Tensor) -> Batch:
        """Gives supports ``[B, n_way * n_shot, ...]`` and queries ``[B, n_way * n_query, ...]``."""
        drawn = [self._draw(row) for row in rows.tolist()]
        images = self.source.batch(torch.cat(drawn))[0]
        images = images.view(len(drawn), self.n_way, self.n_shot + self.n_query, *images.shape[1:])
        supports, queries = images.split([self.n_shot, self.n_query], dim=2)
        return supports.flatten(1, 2), queries.flatten(1, 2)

    def _draw(self, number: int) -> Tensor:
        generator = generator_of(self.seed, "episode", number)
        classes = torch.randperm(len(self.rows), generator=generator)[: self.n_way].tolist()
        size = self.n_shot + self.n_query
        return torch.cat([
            self.rows[label][torch.randperm(len(self.rows[label]), generator=generator)[:size]]
            for label in classes
        ])  # fmt: skip


@dataclass(frozen=True)
class AdversarialQuerying:
    """The loss of an episode: prototypes of clean supports, cross-entropy of attacked queries.

    Logits are cosines of features and prototypes over ``temperature``; the prototypes are held
    while the queries are attacked, and differentiated afterwards.

    Args:
        attack: Of the queries.
        prototypes: Makes them of support features.
        n_way: Classes of an episode.
        temperature: Of the cosines.

    Source: Goldblum, Fowl, Goldstein, "Adversarially robust few-shot learning", 2020, with
    prototypical networks, Snell, Swersky, Zemel, 2017; cosines in place of squared distances.
    """

    attack: LinfAscent
    prototypes: Prototypes = field(repr=False)
    n_way: int = 5
    temperature: float = 0.1

    def __call__(self, encoder: nn.Module, supports: Tensor, queries: Tensor, step: Step) -> Tensor:
        """Gives the mean loss of episodes, as ``EpisodeSource`` gives them."""
        device = queries.device
        start = self.attack.random_start(queries, step)
        losses = []
        for shown, asked, begin in zip(supports, queries, start, strict=True):
            own, wanted = (_labels(len(part), self.n_way, device) for part in (shown, asked))
            means = self.prototypes(encoder(shown), own, self.n_way)
            held = means.detach()

            def loss(features: Tensor, wanted: Tensor = wanted, held: Tensor = held) -> Tensor:
                return functional.cross_entropy(
                    self._logits(features, held), wanted, reduction="sum"
                )

            attacked = self.attack.climb(encoder, asked, begin, loss)
            logits = self._logits(encoder(attacked), means)
            losses.append(functional.cross_entropy(logits, wanted))
        return torch.stack(losses).mean()

    def _logits(self, features: Tensor, means: Tensor) -> Tensor:
        return functional.normalize(features, dim=1) @ means.T / self.temperature


def _labels(count: int, n_way: int, device: torch.device) -> Tensor:
    """Classes of images that lie class by class, ``[count]``."""
    return torch.arange(n_way, device=device).repeat_interleave(count // n_way)
