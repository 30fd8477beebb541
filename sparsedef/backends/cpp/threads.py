"""How many threads the native kernels may use."""

from __future__ import annotations

import os

import torch

_is_forked = False


def _note_fork() -> None:
    global _is_forked
    _is_forked = True


# OpenMP's threads do not survive a fork, and a parallel region in the child would wait for them
# for ever; with one thread the kernels open no parallel region.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def n_threads() -> int:
    """Torch's number of threads; 1 in a process forked after this module was imported."""
    return 1 if _is_forked else torch.get_num_threads()
