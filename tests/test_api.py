"""The public surface: a removal or a forgotten docstring is a deliberate act."""

import inspect
import re
import subprocess
import sys

import pytest

import sparsedef

PUBLIC = [
    "BackendError", "LassoPath", "PatchCode", "SparseCode", "Status", "__version__", "alpha_max",
    "backends", "extract_patches", "lasso", "lasso_path", "learning", "merge_patches", "nn", "omp",
    "patch_omp", "sae", "show_config", "sparse_encode",
]  # fmt: skip
FUNCTIONS = [name for name in PUBLIC if inspect.isfunction(getattr(sparsedef, name))]


def test_the_public_names_are_these() -> None:
    assert sorted(sparsedef.__all__) == sorted(PUBLIC)
    assert all(hasattr(sparsedef, name) for name in PUBLIC)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstring_describes_every_argument_and_shows_an_example(name: str) -> None:
    function = getattr(sparsedef, name)
    text = inspect.getdoc(function) or ""
    for parameter in inspect.signature(function).parameters:
        assert re.search(rf"^\s+{parameter}: ", text, re.MULTILINE), f"{name}: {parameter}"
    assert "Returns:" in text
    assert ">>> " in text


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_annotated(name: str) -> None:
    signature = inspect.signature(getattr(sparsedef, name))
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(p.annotation is not p.empty for p in signature.parameters.values())


def test_solvers_name_their_shared_arguments_alike() -> None:
    lasso = list(inspect.signature(sparsedef.lasso).parameters)
    omp = list(inspect.signature(sparsedef.omp).parameters)
    assert lasso[:2] == omp[:2] == ["x", "dictionary"]
    assert {"tol", "layout", "backend"} <= set(lasso) & set(omp)


def test_import_is_light() -> None:
    heavy = "triton scipy sklearn matplotlib open_clip PIL jinja2 tqdm spams"
    code = (
        "import sys, torch; before = set(sys.modules); import sparsedef;"
        f"new = set(sys.modules) - before; print([m for m in {heavy.split()} if m in new])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
