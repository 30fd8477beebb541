"""What an attacker may do to a scene: a set of parameters, with the projection onto it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sparsedef.solvers.checks import check_choice, check_count
from sparsedef.worlds.inputs import check_columns, check_parameters
from sparsedef.worlds.parameters import (
    CONDITIONS,
    GROUPS,
    MOST,
    NAMES,
    OFF,
    PARAMETERS,
    Group,
    column,
    columns,
)  # fmt: skip


@dataclass(frozen=True)
class FeasibleSet:
    """Scenes an attack may reach: some groups move, each in its bounds, one weather at a time.

    A scene is feasible when every moving parameter is within its bounds, at most one of
    ``CONDITIONS`` is above ``OFF``, and the parameters of groups that may not move are those of
    the scene the attack began at. All data that ``sample_scenes`` draws is feasible.

    Args:
        moves: Groups that may move; the others stay at the start.
        bounds: Lowest and highest value by parameter; [0, 1], and ``MOST`` for conditions,
            where not named. A condition's lowest is 0.

    Raises:
        ValueError: A group or parameter is unknown, or a bound is out of order.

    Example:
        >>> attacker = FeasibleSet(bounds={"fog": (0, 0.6)})
        >>> generator = torch.Generator().manual_seed(0)
        >>> start = torch.full((2, 23), 0.05)
        >>> bool(attacker.contains(attacker.sample(generator, 2, start), start).all())
        True
    """

    moves: tuple[Group, ...] = ("appearance", "weather", "light")
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks the settings."""
        for group in self.moves:
            check_choice("FeasibleSet", "moves", group, GROUPS)
        for name, (low, high) in self.bounds.items():
            check_choice("FeasibleSet", "bounds", name, NAMES)
            if not 0 <= low <= high <= 1:
                raise ValueError(
                    f"FeasibleSet: bounds of {name} must be 0 <= low <= high <= 1,"
                    f" got ({low}, {high})"
                )
            if name in CONDITIONS and (low > 0 or high < OFF):
                raise ValueError(
                    f"FeasibleSet: bounds of {name} must be (0, high) with high >= {OFF}, so that"
                    f" it can be absent, got ({low}, {high})"
                )

    @property
    def moving(self) -> Tensor:
        """Which columns may move, ``[P]`` bool."""
        return torch.tensor([parameter.group in self.moves for parameter in PARAMETERS])

    def limits(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """The lowest and highest value of each column, ``[P]`` each, like ``like``."""
        both = [self.bounds.get(name, (0.0, MOST.get(name, 1.0))) for name in NAMES]
        low, high = like.new_tensor(both).unbind(1)
        return low, high

    def project(self, parameters: Tensor, start: Tensor | None = None) -> Tensor:
        """Finds the nearest feasible scene, in the Euclidean distance of the parameters.

        Clips to the bounds; of the conditions it keeps the one that is dearest to give up, and
        clips the others to ``OFF``. Differentiable almost everywhere.

        Args:
            parameters: Any finite values, ``[B, P]``.
            start: Where the attack began, ``[B, P]`` in [0, 1]; needed unless all groups move.

        Raises:
            ValueError: A shape is wrong, or a start is needed.
        """
        check_columns("FeasibleSet.project", parameters)
        low, high = self.limits(parameters)
        inside = torch.minimum(torch.maximum(parameters, low), high)
        weather = columns(CONDITIONS)
        wanted, on = parameters[:, weather], inside[:, weather]
        off = wanted.clamp(0, OFF)
        # what giving it up adds to the squared distance
        price = (wanted - off).square() - (wanted - on).square()
        keep = torch.zeros_like(price, dtype=torch.bool)
        keep.scatter_(1, price.argmax(1, keepdim=True), True)
        inside = inside.index_copy(
            1, torch.tensor(weather, device=inside.device), torch.where(keep, on, off)
        )
        return self._hold(inside, start, "FeasibleSet.project")

    def sample(
        self, generator: torch.Generator, n_scenes: int, start: Tensor | None = None
    ) -> Tensor:
        """Draws feasible scenes, uniform in the bounds; clear or any one weather, equally likely.

        Args:
            generator: The only source of randomness.
            n_scenes: How many, B.
            start: Where the attack began, ``[B, P]`` in [0, 1]; needed unless all groups move.

        Returns:
            ``[B, P]``, of the start's dtype, on the generator's device.
        """
        n_scenes = check_count("FeasibleSet.sample", "n_scenes", n_scenes)
        device, dtype = generator.device, torch.float32 if start is None else start.dtype
        shape = (n_scenes, len(PARAMETERS))
        drawn = torch.rand(shape, generator=generator, dtype=dtype, device=device)
        low, high = self.limits(drawn)
        found = low + (high - low) * drawn
        weather = torch.randint(
            len(CONDITIONS) + 1, (n_scenes,), generator=generator, device=device
        )
        for number, name in enumerate(CONDITIONS):
            index = column(name)
            off = OFF * drawn[:, index]
            found[:, index] = torch.where(weather == number + 1, found[:, index], off)
        return self._hold(found, start, "FeasibleSet.sample")

    def contains(self, parameters: Tensor, start: Tensor | None = None) -> Tensor:
        """Says which scenes ``[B, P]`` are feasible, to 1e-6 in each parameter: ``[B]`` bool."""
        distance = parameters - self.project(parameters, start)
        # a NaN is not feasible
        return (distance.abs() <= 1e-6).all(1)

    def _hold(self, parameters: Tensor, start: Tensor | None, who: str) -> Tensor:
        moving = self.moving.to(parameters.device)
        if bool(moving.all()):
            return parameters
        if start is None:
            still = [group for group in GROUPS if group not in self.moves]
            raise ValueError(f"{who}: start must be given, as {still} may not move, got None")
        check_parameters(who, start, name="start")
        if start.shape != parameters.shape or start.device != parameters.device:
            raise ValueError(
                f"{who}: start must be {list(parameters.shape)} on {parameters.device} like"
                f" parameters, got {list(start.shape)} on {start.device}"
            )
        return torch.where(moving, parameters, start)
