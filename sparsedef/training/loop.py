"""One loop for all that is trained: minibatches, ranks, validation, and no loss when stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from sparsedef.learning.ranks import ALONE, Ranks
from sparsedef.solvers.checks import check_count
from sparsedef.training.descent import Descent, Stepper, Trained
from sparsedef.training.progress import show_progress
from sparsedef.training.state import plan_of, read_state, write_state
from sparsedef.training.step import Loss, Source, Step, device_of, generator_of, seed_of


def n_batches(n_samples: int, batch_size: int) -> int:
    """Says how many minibatches an epoch has: as few as ``batch_size`` allows, of even size."""
    return -(-n_samples // batch_size)


def train(
    model: nn.Module,
    source: Source,
    loss: Loss,
    *,
    optimizer: Stepper,
    schedule: Stepper | None = None,
    epochs: int,
    batch_size: int,
    seed: int = 0,
    validate: Callable[[], float] | None = None,
    max_norm: float | None = None,
    settings: Mapping[str, Any] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_steps: int | None = None,
    ranks: Ranks = ALONE,
    title: str = "training",
    is_silent: bool = False,
) -> Trained:
    """Minimises a loss over minibatches; a stopped training goes on where it was.

    Per epoch: samples in a new random order, cut into minibatches whose sizes differ by at most
    one; per minibatch: gradient of ``loss``, clipped, one step of ``optimizer``, one of
    ``schedule``. Then ``validate``; at the end the model has the weights of the best epoch.

    On a CPU the same call gives the same bits, stopped and resumed or not, however often; on CUDA
    that needs ``torch.use_deterministic_algorithms(True)`` too. The caller's random state is left
    alone: the order, each step's generator, and torch's own (dropout) follow ``seed``.

    Several ranks share each minibatch and give the weights of one to rounding. What looks at a
    whole minibatch does not: batch normalisation sees each rank's part (its running statistics
    are rank 0's), and dropout draws anew on each rank.

    Args:
        model: What is trained, in place; several networks go into one ``nn.ModuleDict``. In
            training mode for each epoch, in evaluation mode for ``validate`` and afterwards. What
            shall stay in evaluation mode (a frozen classifier), the loss holds by itself.
        source: The samples. On every rank the same.
        loss: Samples of this rank, on the model's device, and the ``Step`` to their mean loss.
            It may evaluate the model at other weights (``torch.func.functional_call``).
        optimizer: Of the parameters of ``model``; an optimiser of ``torch.optim`` or a wrapper.
        schedule: Of the learning rate, stepped after each minibatch.
        epochs: How often each sample is seen.
        batch_size: Samples of a minibatch at most, of all ranks together.
        seed: Of everything random.
        validate: Scores the model after each epoch, the higher the better; the last of equal
            ones counts. Called on every rank, and rank 0's number is taken.
        max_norm: Scales gradients of a larger L2 norm down to it.
        settings: Plain values that the result depends on besides those here: what the loss, the
            optimiser and the schedule were made with. A checkpoint of other ones is refused.
        checkpoint: File for the state after each epoch, written whole by rank 0; it stays when
            the training is done, and the same call then returns at once.
        checkpoint_steps: Write it after so many minibatches as well; that changes nothing else.
        ranks: Who shares the work.
        title: Stands before the progress bar.
        is_silent: Show no bar.

    Returns:
        ``Trained``: the mean loss and the score of each epoch.

    Raises:
        TypeError: A number is not whole, or a setting not plain.
        ValueError: A number is out of range, the checkpoint was begun otherwise, or the loss or
            the score became infinite or NaN.

    Example:
        >>> from sparsedef.training import Tensors, train
        >>> line, x = torch.nn.Linear(1, 1), torch.linspace(-1, 1, 64)[:, None]
        >>> def squares(batch, step):
        ...     return (line(batch[0]) - batch[1]).square().mean()
        >>> trained = train(
        ...     line, Tensors(x, 3 * x), squares, epochs=30, batch_size=16, is_silent=True,
        ...     optimizer=torch.optim.SGD(line.parameters(), 0.5))
        >>> round(line.weight.item(), 3), len(trained.losses)
        (3.0, 30)
    """
    check_count("train", "epochs", epochs)
    check_count("train", "batch_size", batch_size)
    check_count("train", "samples", len(source))
    if checkpoint_steps is not None:
        check_count("train", "checkpoint_steps", checkpoint_steps)
    own = {"epochs": epochs, "batch_size": batch_size, "seed": seed, "max_norm": max_norm}
    plan = plan_of({**(settings or {}), **own}, model, source, ranks)
    descent = Descent(model, optimizer, schedule, max_norm, ranks)
    state = read_state(checkpoint, plan, ranks)
    if state is not None:
        descent.load_state(state)
    n_steps, device = n_batches(len(source), batch_size), device_of(model)

    def keep() -> None:
        if checkpoint is not None and ranks.rank == 0:
            write_state(checkpoint, plan, descent.state())

    is_silent = is_silent or ranks.rank > 0
    with (
        _own_randomness(device),
        show_progress(epochs * n_steps, descent.n_done, title, is_silent=is_silent) as bar,
    ):
        for epoch in range(descent.n_done // n_steps, epochs):
            model.train()
            order = torch.randperm(len(source), generator=generator_of(seed, "order", epoch))
            batches = order.tensor_split(n_steps)
            for number in range(descent.n_done, (epoch + 1) * n_steps):
                rows = batches[number % n_steps]
                generator = generator_of(seed, "step", number)
                part = _part(len(rows), ranks)
                step = Step(number, epoch, len(rows), part, generator)
                batch = source.batch(rows[part]) if part.stop > part.start else None
                batch = batch and tuple(tensor.to(device) for tensor in batch)
                _seed_torch(device, seed_of(seed, "torch", number, ranks.rank))
                value = descent.descend(loss, batch, step)
                bar.set_postfix(loss=f"{value:.4g}", refresh=False)
                bar.update()
                is_due = checkpoint_steps is not None and (number + 1) % checkpoint_steps == 0
                if is_due and (number + 1) % n_steps != 0:
                    keep()
            descent.end_epoch(validate)
            keep()
    return descent.finish()


def _part(n_rows: int, ranks: Ranks) -> slice:
    """This rank's rows of a minibatch: as many as the other ranks', or one more or less."""
    first, last = (n_rows * rank // ranks.n_ranks for rank in (ranks.rank, ranks.rank + 1))
    return slice(first, last)


@contextmanager
def _own_randomness(device: torch.device) -> Iterator[None]:
    """Gives torch's random state back as it was."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def _seed_torch(device: torch.device, seed: int) -> None:
    """Seeds torch's own generators, of the CPU and of ``device`` only."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
