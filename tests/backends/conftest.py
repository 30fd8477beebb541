"""Where the Triton kernels run: on the CPU in Triton's interpreter, and on a GPU that is there."""

import os

import pytest
import torch

IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    if request.param == "cpu" and not IS_INTERPRETED:
        pytest.skip("needs TRITON_INTERPRET=1 from the start: test_triton.py runs it so")
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(request.param)
