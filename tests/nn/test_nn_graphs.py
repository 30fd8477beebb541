"""Layers in graphs: compiled whole, exported with any batch, under autocast."""

import pytest
import torch
from small_layers import LAYERS, make_input

EVERY = pytest.mark.parametrize("name", LAYERS)


@EVERY
@pytest.mark.parametrize("autocast", [False, True], ids=["plain", "autocast"])
def test_compile_full_graph_gives_the_same_values_and_gradients(name: str, autocast: bool) -> None:
    torch.compiler.reset()
    found, plain = (LAYERS[name]().float() for _ in range(2))
    compiled = torch.compile(found, fullgraph=True, backend="aot_eager")
    x = make_input(name, 3, 2, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        output = compiled(x * 1)
    expected = plain(x)
    torch.testing.assert_close(output, expected)
    for each in (output, expected):
        each.sin().sum().backward()
    for ours, theirs in zip(found.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@EVERY
def test_one_compiled_graph_serves_every_batch_size(name: str) -> None:
    torch.compiler.reset()
    layer = LAYERS[name]()
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
    for n_signals in (4, 7, 3):
        x = make_input(name, n_signals)
        with torch._dynamo.config.patch(error_on_recompile=n_signals != 4), torch.no_grad():
            torch.testing.assert_close(compiled(x), layer(x))


@EVERY
def test_export_round_trip(name: str, tmp_path) -> None:
    layer, x = LAYERS[name](), make_input(name, 4)
    batch = torch.export.Dim("batch", min=2)
    program = torch.export.export(layer, (x,), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "layer.pt2")
    loaded = torch.export.load(tmp_path / "layer.pt2").module()
    for rows in (4, 2):
        torch.testing.assert_close(loaded(x[:rows]), layer(x[:rows]))
    assert "weight" in program.state_dict


@pytest.mark.slow
def test_the_default_compiler_serves_too() -> None:
    torch.compiler.reset()
    for name in ("SparseCode", "SparseDenoise-omp"):
        layer, x = LAYERS[name](), make_input(name, 3)
        torch.testing.assert_close(torch.compile(layer, fullgraph=True)(x), layer(x))
