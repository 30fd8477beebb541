"""What an attack on scenes is: it moves nuisances inside the feasible set, and proves it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple, final

import torch
from torch import Tensor
from tqdm import tqdm

from sparsedef.attacks.base import misclassified
from sparsedef.attacks.inputs import check_labels
from sparsedef.attacks.semantic.scene_result import SceneResult, join
from sparsedef.attacks.target import GradientHealth, Model, Target, evaluation_mode
from sparsedef.solvers.checks import check_count
from sparsedef.worlds.feasible import FeasibleSet
from sparsedef.worlds.inputs import check_size
from sparsedef.worlds.renderer import render
from sparsedef.worlds.scenes import Scenes


class Found(NamedTuple):
    """What a search found: parameters ``[B, P]``, and error rates ``[B]`` by edit, if any."""

    parameters: Tensor
    by_edit: Mapping[str, Tensor] = {}


class SceneAttack(ABC):
    """Changes what is irrelevant in a drawn scene until the model errs about its class.

    The class of a scene is an argument of the renderer, and the feasible set keeps the object
    visible; so every scene found is an error of the model, not of the label. The call checks,
    seeds, puts the model in evaluation mode for the time being, searches in batches, and proves
    that every scene is feasible and of its class.

    Bounded: all parameters, by ``feasible``; the geometry stays, unless that says otherwise.

    Args:
        feasible: What may move, and how far; ``None`` for ``FeasibleSet()``.
        size: Height and width of the images, in pixels.
        seed: Of the attack's own randomness and, during the attack, the model's.
        draws: How often a random model is asked, per look.
        batch_size: Scenes drawn and attacked at once.

    Raises:
        ValueError: An argument is out of range; the message says which.
    """

    uses_gradient: ClassVar[bool] = False

    def __init__(
        self,
        *,
        feasible: FeasibleSet | None = None,
        size: int = 48,
        seed: int = 0,
        draws: int = 20,
        batch_size: int = 256,
    ) -> None:
        """Checks and keeps the settings; see the class."""
        self.feasible = FeasibleSet() if feasible is None else feasible
        if not bool(self.feasible.moving.any()):
            raise ValueError(f"{self.name}: feasible must let some group move, got none")
        self.size = check_size(self.name, size)
        self.seed = seed
        self.draws = check_count(self.name, "draws", draws)
        self.batch_size = check_count(self.name, "batch_size", batch_size)

    @property
    def name(self) -> str:
        """The class's name, for messages."""
        return type(self).__name__

    @abstractmethod
    def search(
        self, target: Target, space: SceneSpace, labels: Tensor, generator: torch.Generator
    ) -> Found:
        """Finds scenes that fool ``target``.

        Args:
            target: Answers with logits and gradients, and counts what was wrong with them.
            space: The scenes, at least one, and where they may go.
            labels: True classes, ``[B]``.
            generator: The only source of randomness to use; on the CPU.
        """

    @final
    def __call__(
        self,
        model: Model,
        scenes: Scenes,
        labels: Tensor | None = None,
        *,
        surrogate: Model | None = None,
    ) -> SceneResult:
        """Attacks ``model`` on each scene.

        Args:
            model: Images ``[B, 3, size, size]`` in [0, 1] to logits ``[B, classes]``.
            scenes: Where the attack begins, inside the feasible set.
            labels: True classes as the model numbers them, int64 ``[B]``; ``None``: those of
                the scenes.
            surrogate: Differentiated in place of ``model``, which still judges every point on
                the way. For scenes made on the surrogate alone, attack it and then ``judge``.

        Returns:
            ``SceneResult``; its scenes are feasible from where the attack began.

        Raises:
            TypeError: Labels are not int64.
            ValueError: A shape is wrong, a scene is not feasible, or the model is not
                differentiable.
        """
        labels = scenes.classes if labels is None else labels
        check_labels(self.name, labels, scenes.parameters)
        if surrogate is not None and not self.uses_gradient:
            raise ValueError(f"{self.name}: surrogate must be None, as it takes no gradient")
        is_inside = self.feasible.contains(scenes.parameters, scenes.parameters)
        if not bool(is_inside.all()):
            raise ValueError(
                f"{self.name}: scenes must be feasible, got {int((~is_inside).sum())} of"
                f" {len(scenes)} that are not (pass scenes.with_parameters(feasible.project(...)))"
            )
        if len(scenes) == 0:
            nothing = scenes.parameters.new_zeros(0)
            images = scenes.render(size=self.size)
            return SceneResult(scenes, images, nothing, GradientHealth())
        generator = torch.Generator().manual_seed(self.seed)
        devices = [scenes.parameters.device] if scenes.parameters.is_cuda else []
        models = [model] if surrogate is None else [model, surrogate]
        starts = range(0, len(scenes), self.batch_size)
        results = []
        with torch.random.fork_rng(devices=devices), evaluation_mode(*models):
            torch.manual_seed(self.seed)
            for first in tqdm(starts, desc=self.name, disable=None, leave=False):
                rows = slice(first, first + self.batch_size)
                target = Target(model, surrogate, draws=self.draws, who=self.name)
                results.append(self._attack(target, scenes[rows], labels[rows], generator))
        return join(results)

    def _attack(
        self, target: Target, scenes: Scenes, labels: Tensor, generator: torch.Generator
    ) -> SceneResult:
        """Attacks one batch, and proves that what was found is feasible."""
        scenes = scenes.with_parameters(scenes.parameters.detach())
        found = self.search(target, SceneSpace(scenes, self.feasible, self.size), labels, generator)
        parameters = found.parameters.detach()
        is_inside = self.feasible.contains(parameters, scenes.parameters)
        assert bool(is_inside.all()), f"{self.name} left the feasible set"
        return _judge(target, scenes.with_parameters(parameters), labels, self.size, found.by_edit)


class SceneSpace:
    """Scenes as points of the parameters that may move, ``[B, P]`` of them.

    Args:
        scenes: Where the attack begins.
        feasible: Where it may go.
        size: Height and width of the images, in pixels.
    """

    def __init__(self, scenes: Scenes, feasible: FeasibleSet, size: int) -> None:
        """Keeps the settings; see the class."""
        self.scenes = scenes
        self.feasible = feasible
        self.size = size
        self.columns = torch.nonzero(feasible.moving)[:, 0].to(scenes.parameters.device)

    @property
    def start(self) -> Tensor:
        """The unedited scenes as points."""
        return self.points(self.scenes.parameters)

    def points(self, parameters: Tensor) -> Tensor:
        """Whole parameters to points."""
        return parameters[:, self.columns]

    def parameters(self, points: Tensor, rows: Tensor | None = None) -> Tensor:
        """Points of the scenes numbered ``rows`` (``None``: all) to whole parameters."""
        start = self.scenes.parameters if rows is None else self.scenes.parameters[rows]
        return start.index_copy(1, self.columns, points)

    def images(self, points: Tensor, rows: Tensor) -> Tensor:
        """Draws the scenes numbered ``rows`` ``[R]`` at ``points`` ``[R, P]``; differentiable."""
        classes, seeds = self.scenes.classes[rows], self.scenes.seeds[rows]
        return render(self.parameters(points, rows), classes, seeds, size=self.size)

    def project(self, points: Tensor, rows: Tensor) -> Tensor:
        """Finds the nearest feasible points."""
        start = self.scenes.parameters[rows]
        return self.points(self.feasible.project(self.parameters(points, rows), start))

    def sample(self, generator: torch.Generator) -> Tensor:
        """Draws a feasible point for each scene, uniform in the bounds."""
        start = self.scenes.parameters
        drawn = self.feasible.sample(generator, len(start), start.cpu())
        return self.points(drawn.to(start.device))


def judge(
    model: Model,
    scenes: Scenes,
    labels: Tensor | None = None,
    *,
    size: int = 48,
    seed: int = 0,
    draws: int = 20,
) -> SceneResult:
    """Asks a model about scenes as they are, such as those made on another model (transfer).

    Args:
        model: Images ``[B, 3, size, size]`` in [0, 1] to logits ``[B, classes]``.
        scenes: What is judged.
        labels: True classes, int64 ``[B]``; ``None``: those of the scenes.
        size: Height and width of the images, in pixels.
        seed: Of a random model's draws.
        draws: How often a random model is asked.
    """
    labels = scenes.classes if labels is None else labels
    check_labels("judge", labels, scenes.parameters)
    if len(scenes) == 0:
        nothing = scenes.parameters.new_zeros(0)
        return SceneResult(scenes, scenes.render(size=size), nothing, GradientHealth())
    devices = [scenes.parameters.device] if scenes.parameters.is_cuda else []
    with torch.random.fork_rng(devices=devices), evaluation_mode(model):
        torch.manual_seed(seed)
        return _judge(Target(model, None, draws=draws, who="judge"), scenes, labels, size, {})


def _judge(
    target: Target, scenes: Scenes, labels: Tensor, size: int, by_edit: Mapping[str, Tensor]
) -> SceneResult:
    with torch.no_grad():
        images = scenes.render(size=size)
    wrong = misclassified(target.all_logits(images, labels), labels)
    return SceneResult(scenes, images, wrong.to(images.dtype).mean(0), target.health, by_edit)
