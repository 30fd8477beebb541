"""A process forked after the kernels ran on several threads can use them, and does not hang."""

import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("sparsedef._C", reason="the native module is not built")

PROLOGUE = """
    import os
    import torch
    from sparsedef.backends import BACKENDS

    omp = BACKENDS["cpp"].functions["omp"]
    dictionary = torch.nn.functional.normalize(torch.randn(50, 20))

    def code(x):
        return omp(x, dictionary, torch.zeros(len(x)), None, 3, "omp", False, 0)[4]

    torch.set_num_threads(4)
    code(torch.randn(1000, 20))  # starts OpenMP's threads
"""
RAW_FORK = """
    child = os.fork()
    if child == 0:
        code(torch.randn(1000, 20))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    code(torch.randn(1000, 20))
"""
DATA_LOADER = """
    class Codes(torch.utils.data.Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, i):
            return code(torch.randn(300, 20))

    loader = torch.utils.data.DataLoader(Codes(), num_workers=2, multiprocessing_context="fork")
    assert sum(len(batch) for batch in loader) == 8
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system has no fork")
@pytest.mark.parametrize("body", [RAW_FORK, DATA_LOADER], ids=["raw fork", "DataLoader"])
def test_a_forked_process_can_use_the_kernels(body):
    script = textwrap.dedent(PROLOGUE) + textwrap.dedent(body)
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
