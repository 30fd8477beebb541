"""The torch library that all ops are registered in (``torch.ops.sparsedef``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from sparsedef.backends import BACKENDS

_LIBRARY = torch.library.Library("sparsedef", "DEF")


def define(schema: str, fake: Callable[..., Any], *, values_first: bool = False) -> Any:
    """Registers an op whose last argument names the backend that computes it.

    Registered with ``define`` and ``impl`` rather than ``torch.library.custom_op``, whose wrapper
    makes every call dearer.

    Args:
        schema: The op's name and signature; its last argument must be ``str backend``.
        fake: Makes outputs of the right shapes, for tracing.
        values_first: Whether backends return indices before values while the op returns values
            first: torch's ``opcheck`` adds all outputs to the first one, in place, and so wants a
            floating-point output there.

    Returns:
        The op, callable.
    """
    name = schema[: schema.index("(")]
    _LIBRARY.define(schema)

    def call(*args: Any) -> Any:
        *arguments, backend = args
        with torch.no_grad():
            outputs = BACKENDS[backend].functions[name](*arguments)
        return (outputs[1], outputs[0], *outputs[2:]) if values_first else outputs

    _LIBRARY.impl(name, call, "CompositeExplicitAutograd")
    torch.library.register_fake(f"sparsedef::{name}", fake, lib=_LIBRARY)
    return getattr(torch.ops.sparsedef, name).default


def attach_gradient(
    name: str, backward: Callable[..., Any], setup_context: Callable[..., Any]
) -> None:
    """Fastens a gradient to the op ``name``; a second derivative is refused by torch."""
    torch.library.register_autograd(
        f"sparsedef::{name}", backward, setup_context=setup_context, lib=_LIBRARY
    )


def refuse_gradient(name: str) -> None:
    """Makes the op ``name``, a gradient itself, say that it has none."""

    def refuse(ctx: Any, *grads: Any) -> Any:
        raise NotImplementedError(
            "sparsedef: the gradient of a sparse code cannot be differentiated once more"
        )

    attach_gradient(name, refuse, lambda ctx, inputs, output: None)
