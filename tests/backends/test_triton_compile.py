"""Every Triton kernel compiles for every supported GPU without spilling, with no GPU here."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

if find_spec("triton") is None:
    pytest.skip("triton is not installed", allow_module_level=True)

import triton

from sparsedef.backends.triton import is_interpreted
from sparsedef.backends.triton.compile_offline import ARCHITECTURES, KERNELS, SHARED_LIMIT, usages

pytestmark = [
    pytest.mark.skipif(is_interpreted(), reason="TRITON_INTERPRET=1: nothing is compiled"),
    pytest.mark.skipif(
        shutil.which(triton.knobs.nvidia.ptxas.path) is None, reason="Triton came without ptxas"
    ),
]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_kernels_neither_spill_nor_overflow_shared_memory(
    architecture: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    found = list(usages([architecture]))
    assert {usage.kernel for usage in found} == set(KERNELS)
    assert {usage.precision for usage in found} == {"ieee", "tf32", "tf32x3"}
    for usage in found:
        assert usage.local_bytes == 0, usage
        assert usage.shared_bytes <= SHARED_LIMIT, usage
        assert usage.registers > 0, usage
