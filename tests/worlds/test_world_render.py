"""The renderer: range, sizes, the same image in any company, and honest complaints."""

import pytest
import torch
from torch import Tensor

from sparsedef.worlds import CLASSES, PARAMETERS, Scenes, render, renderer, sample_scenes
from sparsedef.worlds.backgrounds import COLOURS, DARKEST, LIGHTEST, background, draw_background
from sparsedef.worlds.parameters import column, columns, physical
from sparsedef.worlds.weather import FIELDS


def scenes(count: int, seed: int = 0) -> Scenes:
    return sample_scenes(torch.Generator().manual_seed(seed), count)


def corners(count: int) -> Tensor:
    """Scenes at random corners of the box of all parameters, every weather at once allowed."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(2, (count, len(PARAMETERS)), generator=generator).float()


@pytest.mark.parametrize("size", [16, 32, 48, 299])
def test_images_are_in_range_at_every_size(size: int) -> None:
    count = 2 if size == 299 else 96
    classes, seeds = torch.arange(count) % len(CLASSES), torch.arange(count)
    for parameters in (corners(count), scenes(count).parameters):
        images = render(parameters, classes, seeds, size=size)
        assert images.shape == (count, 3, size, size)
        assert images.dtype == torch.float32
        assert images.min() >= 0
        assert images.max() <= 1


def test_backgrounds_keep_within_their_range_whatever_moves_and_mixes_them() -> None:
    parameters = torch.cat([corners(200), torch.rand(200, 23)])
    weather = columns(["snow", "rain", "fog", "night", "sunset"])
    parameters[:, weather] = 0
    drawn = draw_background(background(physical(parameters), 48).coefficients(), 48)
    assert drawn.min() >= DARKEST
    assert drawn.max() <= LIGHTEST
    for base, axis in COLOURS.values():
        assert all(b - a >= DARKEST and b + a <= LIGHTEST for b, a in zip(base, axis, strict=True))


def test_an_image_does_not_depend_on_its_company_or_on_the_cuts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = scenes(70)
    together = batch.render(size=32)
    for row in (0, 33, 69):
        alone = batch[row : row + 1].render(size=32)
        torch.testing.assert_close(alone[0], together[row], rtol=0, atol=2e-6)
    order = torch.randperm(70, generator=torch.Generator().manual_seed(0))
    shuffled = batch[order].render(size=32)
    torch.testing.assert_close(shuffled, together[order], rtol=0, atol=2e-6)
    monkeypatch.setitem(renderer.AT_ONCE, "cpu", 3 * 32 * 32)
    torch.testing.assert_close(batch.render(size=32), together, rtol=0, atol=2e-6)


def test_rendering_is_deterministic_and_leaves_the_callers_random_state() -> None:
    state = torch.get_rng_state()
    batch = scenes(30)
    assert torch.equal(batch.render(), batch.render())
    assert torch.equal(torch.get_rng_state(), state)


def test_the_seed_picks_flakes_and_grain_and_nothing_else() -> None:
    one = scenes(1).parameters
    one[:, columns(["snow", "rain", "fog", "night", "sunset"])] = 0
    snowy = one.clone()
    snowy[:, column("snow")] = 1
    classes = torch.zeros(2, dtype=torch.int64)
    clear = render(one.expand(2, -1), classes, torch.tensor([3, 4]))
    falls = render(snowy.expand(2, -1), classes, torch.tensor([3, 4]))
    assert 0 < (clear[0] - clear[1]).abs().max() < 0.05
    assert (falls[0] - falls[1]).abs().max() > 0.1
    again = render(snowy, classes[:1], torch.tensor([3 + FIELDS]))
    torch.testing.assert_close(again[0], falls[0])


def test_the_same_scene_looks_the_same_at_two_sizes() -> None:
    batch = scenes(24)
    large = torch.nn.functional.avg_pool2d(batch.render(size=96), 2)
    assert (large - batch.render(size=48)).abs().mean() < 0.02


def test_one_parameter_of_every_kind_shows() -> None:
    batch = scenes(200)
    before = batch.render(size=32)
    for name in ("snow", "rain", "fog", "night", "sunset"):
        changed = batch.parameters.clone()
        changed[:, columns(["snow", "rain", "fog", "night", "sunset"])] = 0
        off = batch.with_parameters(changed).render(size=32)
        changed[:, column(name)] = 0.8
        on = batch.with_parameters(changed).render(size=32)
        assert (on - off).abs().flatten(1).mean(1).min() > 0.02, name
    assert before.flatten(1).std(1).min() > 0.02


def test_gradients_work_after_a_first_call_in_inference_mode() -> None:
    parameters = scenes(2).parameters
    classes, seeds = torch.tensor([1, 2]), torch.tensor([0, 1])
    with torch.inference_mode():
        render(parameters, classes, seeds, size=37)
    parameters.requires_grad_()
    render(parameters, classes, seeds, size=37).sum().backward()
    assert parameters.grad is not None
    assert parameters.grad.isfinite().all()


def test_no_scenes_give_no_images() -> None:
    nothing = torch.zeros(0, dtype=torch.int64)
    assert render(torch.zeros(0, len(PARAMETERS)), nothing, nothing).shape == (0, 3, 48, 48)


def test_mistakes_are_named() -> None:
    parameters, index = torch.full((2, 23), 0.5), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"one scene\? pass parameters\[None\]"):
        render(parameters[0], index, index)
    with pytest.raises(ValueError, match=r"must be \[B, 23\], got \[2, 22\]"):
        render(parameters[:, 1:], index, index)
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\], got \[nan"):
        render(parameters * torch.nan, index, index)
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\], got \[1.001, 1.001\]"):
        render(parameters + 0.501, index, index)
    with pytest.raises(TypeError, match=r"classes must be an int64 tensor, got torch\.float32"):
        render(parameters, index.float(), index)
    with pytest.raises(ValueError, match="classes must be 0 to 23, got 24 to 24"):
        render(parameters, index + 24, index)
    with pytest.raises(ValueError, match=r"seeds must be \[2\]"):
        render(parameters, index, index[:1])
    with pytest.raises(ValueError, match="seeds must be >= 0, got -1"):
        render(parameters, index, index - 1)
    with pytest.raises(ValueError, match="size must be at least 16, got 8"):
        render(parameters, index, index, size=8)
    with pytest.raises(TypeError, match="parameters must be float32 or float64"):
        render(parameters.half(), index, index)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_draws_the_same() -> None:
    batch = scenes(48)
    moved = Scenes(batch.parameters.cuda(), batch.classes.cuda(), batch.seeds.cuda())
    torch.testing.assert_close(moved.render().cpu(), batch.render(), rtol=0, atol=1e-4)
