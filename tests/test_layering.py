"""The house: imports go down the floors only, and each op has its files by its name."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "sparsedef"
FLOORS = {
    "__main__": 14, "cli": 13, "__init__": 13,
    "commands": 12,
    "demo": 11, "reproduce": 11,
    "evaluation": 10,
    "defenses": 9, "attacks": 9,
    "clip": 8, "data": 7,
    "training": 6, "models": 6, "worlds": 6, "concepts": 6,
    "nn": 6, "estimators": 6, "streams": 6, "sae": 6,
    "learning": 5, "config": 5,
    "solvers": 4,
    "ops": 3,
    "testing": 3,
    "backends": 2,
    "version": 1, "whole_file": 1, "_C": 0,
}  # fmt: skip
SHARED = {
    "base",
    "certificate",
    "memory",
    "patch_pipeline",
    "pursuit",
    "shrinkage",
    "slots",
    "small_lasso",
    "working_set",
}  # files of `backends` open to all of them
LARGEST = 350


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imported(path: Path) -> list[str]:
    """Absolute names of what a file imports from sparsedef, ``sparsedef.`` left out."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module == "sparsedef":
                found += [alias.name for alias in node.names]
            elif node.module.startswith("sparsedef."):
                found.append(node.module.removeprefix("sparsedef."))
        elif isinstance(node, ast.Import):
            found += [
                a.name.removeprefix("sparsedef.") for a in node.names if "sparsedef." in a.name
            ]
    return found


def floor_of(name: str) -> str:
    return name.split(".")[0]


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_go_down(path: Path) -> None:
    here = floor_of(".".join(path.relative_to(PACKAGE).with_suffix("").parts))
    for name in imported(path):
        there = floor_of(name)
        assert there in FLOORS or there in PUBLIC_FROM_SOLVERS, f"{name}: give it a floor here"
        level = FLOORS.get(there, FLOORS["solvers"])
        assert there == here or level < FLOORS[here], f"{path.name} on {here} imports {name}"


PUBLIC_FROM_SOLVERS = {
    "BackendError", "LassoPath", "PatchCode", "SparseCode", "Status", "__version__",
    "alpha_max", "extract_patches", "lasso", "lasso_path", "merge_patches", "omp", "patch_omp",
    "sparse_encode",
}  # fmt: skip


@pytest.mark.parametrize("path", sorted((PACKAGE / "backends").rglob("*.py")), ids=str)
def test_backends_do_not_import_each_other(path: Path) -> None:
    own = path.relative_to(PACKAGE / "backends").parts[0]
    for name in imported(path):
        if name.startswith("backends.") and own != "__init__.py":
            assert name.split(".")[1] in SHARED | {own}, f"{path.name} imports its sibling {name}"


def test_defenses_and_attacks_do_not_know_each_other() -> None:
    for one, other in [("defenses", "attacks"), ("attacks", "defenses")]:
        for path in (PACKAGE / one).rglob("*.py"):
            assert all(floor_of(name) != other for name in imported(path)), path


@pytest.mark.parametrize("op", ["lasso", "omp"])
def test_an_op_has_one_name_on_every_floor(op: str) -> None:
    floors = ["solvers", "ops", "backends/reference", "backends/cpp", "backends/cuda"]
    for folder in floors:
        assert (PACKAGE / folder / f"{op}.py").is_file(), f"{folder} misses {op}.py"
    for source in [f"{op}.h", f"cpu/{op}.cpp", f"cuda/{op}.cu"]:
        assert (ROOT / "csrc" / source).is_file(), f"csrc misses {source}"


def test_no_file_outgrows_its_story() -> None:
    sources = [*modules(), *(p for p in (ROOT / "csrc").rglob("*.*") if p.suffix != ".so")]
    sources += sorted((ROOT / "tests").rglob("*.py")) + sorted((ROOT / "benchmarks").rglob("*.py"))
    long = {str(p): n for p in sources if (n := len(p.read_text().splitlines())) > LARGEST}
    assert not long, f"files of more than {LARGEST} lines: {long}"


def test_no_drawer_files() -> None:
    banned = {"utils.py", "helpers.py", "common.py", "misc.py"}
    assert not [p for p in modules() if p.name in banned]
