"""Patch coding is a good citizen of torch: opcheck, compile, export, one derivative."""

import pytest
import torch
from torch import Tensor

import sparsedef
from sparsedef.backends import Problem
from sparsedef.testing import able_backends, make_problem

PROBLEM = Problem("patch_omp", 8, 16, 32, torch.float64, torch.device("cpu"))
CALLS = [
    {},
    {"standardize": "mean", "stride": 3, "selection": "ols"},
    {"standardize": "zscore", "stride": 2},
]


def leaves(n_images: int = 2, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(n_images, 2, 8, 9, generator=generator, dtype=torch.float64)
    mask = torch.rand(n_images, 8, 9, generator=generator) < 0.3
    _, dictionary = make_problem(1, 18, 30)
    return images.requires_grad_(True), dictionary.requires_grad_(True), mask


def code(images: Tensor, dictionary: Tensor, mask: Tensor, **options: object) -> tuple[Tensor, ...]:
    return sparsedef.patch_omp(images, dictionary, 3, mask=mask, **options)[:5]  # type: ignore


@pytest.mark.parametrize("backend", able_backends(PROBLEM))
@pytest.mark.parametrize("standardize", ["none", "mean", "zscore"])
def test_opcheck(standardize: str, backend: str) -> None:
    for mask in (None, leaves()[2]):
        inputs = (*leaves()[:2], 0.0, mask, 3, 2, standardize, "omp", 0, backend)
        torch.library.opcheck(torch.ops.sparsedef.patch_omp.default, inputs)


def test_opcheck_of_the_gradient() -> None:
    images, dictionary, mask = leaves()
    images, dictionary = images.detach(), dictionary.detach()
    found = sparsedef.patch_omp(images, dictionary, 3, stride=2, mask=mask)
    inputs = (images, dictionary, mask, found.indices, found.values, found.status)
    grads = (torch.randn_like(found.values), torch.randn_like(images), 2, "zscore", True)
    op = torch.ops.sparsedef.patch_support_solve.default
    torch.library.opcheck(op, (*inputs, *grads, "reference"))


@pytest.mark.parametrize("options", CALLS, ids=str)
def test_compile_full_graph_gives_the_same_values_and_gradients(options: dict) -> None:
    torch.compiler.reset()
    compiled = torch.compile(code, fullgraph=True, backend="aot_eager")
    plain_leaves, leaves_ = leaves(), leaves()
    plain, found = code(*plain_leaves, **options), compiled(*leaves_, **options)
    for ours, theirs in zip(found, plain, strict=True):
        torch.testing.assert_close(ours, theirs)
    for outputs in (plain, found):
        (outputs[0].square().sum() + outputs[2].sin().sum()).backward()
    for ours, theirs in zip(leaves_[:2], plain_leaves[:2], strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("options", CALLS, ids=str)
def test_one_compiled_graph_serves_every_batch_size(options: dict) -> None:
    torch.compiler.reset()
    compiled = torch.compile(code, fullgraph=True, dynamic=True, backend="aot_eager")
    for n_images in (3, 5, 2):
        images, dictionary, mask = leaves(n_images, seed=n_images)
        inputs = (images.detach(), dictionary.detach(), mask)
        with torch._dynamo.config.patch(error_on_recompile=n_images != 3):
            found = compiled(*inputs, **options)
        for ours, theirs in zip(found, code(*inputs, **options), strict=True):
            torch.testing.assert_close(ours, theirs)


class Coder(torch.nn.Module):
    def __init__(self, options: dict) -> None:
        super().__init__()
        self.options = options
        self.dictionary = torch.nn.Parameter(leaves()[1].detach())

    def forward(self, images: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        return code(images, self.dictionary, mask, **self.options)


@pytest.mark.parametrize("options", CALLS, ids=str)
def test_export_round_trip(options: dict, tmp_path) -> None:
    images, _, mask = leaves(4)
    images = images.detach()
    module, batch = Coder(options), torch.export.Dim("batch", min=2)
    shapes = {"images": {0: batch}, "mask": {0: batch}}
    program = torch.export.export(module, (images, mask), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "coder.pt2")
    loaded = torch.export.load(tmp_path / "coder.pt2").module()
    for rows in (4, 2):
        found, expected = loaded(images[:rows], mask[:rows]), module(images[:rows], mask[:rows])
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs)


def test_a_second_derivative_is_refused() -> None:
    images, dictionary, mask = leaves()
    rebuilt = code(images, dictionary, mask)[0]
    (first,) = torch.autograd.grad(rebuilt.square().sum(), images, create_graph=True)
    with pytest.raises(NotImplementedError, match="cannot be differentiated once more"):
        torch.autograd.grad(first.square().sum(), images)
