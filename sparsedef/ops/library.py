"""The torch library that all ops are registered in (``torch.ops.sparsedef``)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter

from sparsedef.backends import BACKENDS

_LIBRARY = torch.library.Library("sparsedef", "DEF")
_PLAIN = (Tensor, Parameter)


def autocasts(device: torch.device) -> bool:
    """Says whether ``torch.autocast`` is on for tensors of ``device``."""
    kind = device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def is_captured(tensor: Tensor) -> bool:
    """Says whether a CUDA graph is being captured: then nothing may wait for the device."""
    if torch.compiler.is_compiling() or not tensor.is_cuda:
        return False
    return torch.cuda.is_current_stream_capturing()


def is_traced(tensor: Tensor) -> bool:
    """Says whether values cannot be read now: ``torch.compile`` traces, or a graph is captured."""
    return torch.compiler.is_compiling() or is_captured(tensor)


def as_given(device: torch.device) -> AbstractContextManager[Any]:
    """Makes products of tensors of ``device`` in these tensors' dtype, whatever autocast says.

    A sparse code lives from small differences of large sums: a support chosen by bfloat16
    products is another one, and a gap made of them proves nothing.
    """
    return torch.autocast(device.type, enabled=False) if autocasts(device) else nullcontext()


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

    def compute(*args: Any) -> Any:
        *arguments, backend = args
        outputs = BACKENDS[backend].functions[name](*arguments)
        return (outputs[1], outputs[0], *outputs[2:]) if values_first else outputs

    def call(*args: Any) -> Any:
        with torch.no_grad(), as_given(args[0].device):
            return compute(*args)

    _LIBRARY.impl(name, call, "CompositeExplicitAutograd")
    torch.library.register_fake(f"sparsedef::{name}", fake, lib=_LIBRARY)
    op = getattr(torch.ops.sparsedef, name).default
    return lambda *args: compute(*args) if _is_plain(args) else op(*args)


def _is_plain(args: tuple[Any, ...]) -> bool:
    """Says whether nobody would notice that torch's dispatcher is passed over.

    It takes 9 us a call, as long as a small problem itself.
    """
    if torch.compiler.is_compiling() or _is_watched() or autocasts(args[0].device):
        return False
    if forward_ad._current_level >= 0:
        _refuse_tangents(args)
    is_recorded = torch.is_grad_enabled()
    for arg in args:
        if isinstance(arg, Tensor) and (
            type(arg) not in _PLAIN or (is_recorded and arg.requires_grad)
        ):
            return False
    return True


def _refuse_tangents(args: tuple[Any, ...]) -> None:
    """Forward-mode gradients do not exist here, and torch would drop them in silence."""
    for arg in args:
        if isinstance(arg, Tensor) and forward_ad.unpack_dual(arg).tangent is not None:
            raise NotImplementedError(
                "sparsedef: a sparse code has no forward-mode gradient; use backward()"
            )


def _is_watched() -> bool:
    """Says whether a mode, a transform, a trace or a profiler is to see each op."""
    return bool(
        torch._C._len_torch_dispatch_stack()
        or torch._C._len_torch_function_stack()
        or torch._C._functorch.peek_interpreter_stack() is not None
        or torch._C._get_tracing_state() is not None
        or torch._C._autograd._profiler_enabled()
    )


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
