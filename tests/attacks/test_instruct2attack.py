"""Instruct2Attack: what it finds with an editor is strong, and within the perceptual bound."""

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sparsedef.attacks import Instruct2Attack
from sparsedef.attacks.semantic import Editor, InstructPix2PixEditor, colour_difference

TINTS = {"make it red": (1.0, 0.0, 0.0), "make it blue": (0.0, 0.0, 1.0)}


class Tinting:
    """An editor of its own right: mixes in a colour, place by place, as alpha and beta say.

    ``x + strength (tint - x)`` with ``strength = beta (1.2 - alpha) / 1.2 + 0.02 tanh(noise)``.
    """

    def latent_shape(self, images: Tensor) -> tuple[int, ...]:
        return (1, images.shape[2] // 2, images.shape[3] // 2)

    def edit(
        self, images: Tensor, instruction: str, alpha: Tensor, beta: Tensor, noise: Tensor
    ) -> Tensor:
        strength = beta * (1.2 - alpha) / 1.2 + 0.02 * torch.tanh(noise)
        strength = strength.repeat_interleave(2, 2).repeat_interleave(2, 3).clamp(0, 1)
        tint = images.new_tensor(TINTS[instruction]).view(1, 3, 1, 1)
        return images + strength * (tint - images)


def photos(count: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.3 + 0.3 * torch.rand(count, 3, 8, 8, generator=generator, dtype=torch.float64)


def red(images: Tensor, more: float = 0.3) -> Tensor:
    """Class 1 where red exceeds green by ``more``."""
    mean = images.mean((2, 3))
    score = mean[:, 0] - mean[:, 1] - more
    return torch.stack([torch.zeros_like(score), score], 1)


LABELS = torch.zeros(5, dtype=torch.long)
SETTINGS = {"perceptual": colour_difference, "bound": 0.6, "steps": 30}


def test_finds_the_guidance_that_fools_within_the_bound() -> None:
    images = photos()
    result = Instruct2Attack(Tinting(), "make it red", **SETTINGS)(red, images, LABELS)
    assert result.success.all()
    assert colour_difference(images, result.images).max() <= 0.6
    # the editor's own guidance alone does not
    ones = torch.ones(5, 1, 4, 4, dtype=torch.float64)
    plain = Tinting().edit(images, "make it red", ones, ones, 0 * ones)
    assert not (red(plain).argmax(1) == 1).any()


def test_the_bound_holds_where_it_is_what_stops_the_attack() -> None:
    images = photos()
    result = Instruct2Attack(Tinting(), "make it red", **{**SETTINGS, "bound": 0.25})(
        red, images, LABELS
    )
    far = colour_difference(images, result.images)
    assert not result.success.any()
    assert far.max() <= 0.25
    assert far.min() > 0.2  # and is used


def test_an_image_without_an_edit_within_the_bound_comes_back_unedited() -> None:
    images = photos()
    result = Instruct2Attack(Tinting(), "make it red", **{**SETTINGS, "bound": 1e-6})(
        red, images, LABELS
    )
    assert torch.equal(result.images, images)
    assert result.success.sum() == 0


def test_the_worst_instruction_counts_for_each_image() -> None:
    images = photos()
    blue = Instruct2Attack(Tinting(), "make it blue", **SETTINGS)(red, images, LABELS)
    assert not blue.success.any()
    both = Instruct2Attack(Tinting(), list(TINTS), **SETTINGS)(red, images, LABELS)
    assert both.success.all()


@pytest.mark.parametrize("penalty", [0.5, 2.0])
def test_its_ascent_has_the_gradient_that_finite_differences_have(penalty: float) -> None:
    """One step by sign goes where the margin, less the penalty, grows."""
    images, editor = photos(1), Tinting()
    seen: list[tuple[Tensor, Tensor]] = []

    class Watched(Tinting):
        def edit(self, images, instruction, alpha, beta, noise):  # type: ignore[no-untyped-def]
            seen.append((alpha.detach(), beta.detach()))
            self.noise = noise.detach()
            return super().edit(images, instruction, alpha, beta, noise)

    watched = Watched()
    settings = {**SETTINGS, "bound": 0.01, "penalty": penalty, "steps": 1, "optimizer": "sign"}
    Instruct2Attack(watched, "make it red", step_size=0.01, **settings)(red, images, LABELS[:1])
    first, second = seen[0], seen[1]

    def objective(alpha: Tensor, beta: Tensor) -> float:
        edited = editor.edit(images, "make it red", alpha, beta, watched.noise)
        far = colour_difference(images, edited)
        return (red(edited)[0, 1] - penalty * (far - 0.01).clamp_min(0)[0]).item()

    for part in (0, 1):
        moved = second[part] - first[part]
        for place in ((0, 0), (2, 3)):
            step = torch.zeros_like(moved)
            step[0, 0][place] = 1e-6
            args = [list(first), list(first)]
            args[0][part], args[1][part] = first[part] + step, first[part] - step
            slope = objective(*args[0]) - objective(*args[1])
            # held at 1, where it would have to leave the box
            assert slope != 0
            wanted = -0.01 if slope < 0 else 0.0
            assert moved[0, 0][place].item() == pytest.approx(wanted)
    # less image guidance while the margin wins, less text guidance once the penalty does
    moved_part = 0 if penalty < 1 else 1
    assert bool((second[moved_part] < first[moved_part]).all())


def test_more_steps_are_never_weaker_and_the_seed_repeats() -> None:
    images = photos()

    def found(steps: int, seed: int = 0) -> Tensor:
        settings = {**SETTINGS, "bound": 0.5, "steps": steps, "seed": seed, "moves_noise": True}
        return Instruct2Attack(Tinting(), "make it red", **settings)(red, images, LABELS).images

    assert torch.equal(found(4), found(4))
    assert not torch.equal(found(4), found(4, seed=1))
    assert (red(found(12))[:, 1] >= red(found(4))[:, 1]).all()


def test_an_editor_without_a_gradient_is_a_mistake() -> None:
    class Closed(Tinting):
        @torch.no_grad()
        def edit(self, *args):  # type: ignore[no-untyped-def]
            return super().edit(*args)

    with pytest.raises(ValueError, match=r"editor must be differentiable.*no_grad inside"):
        Instruct2Attack(Closed(), "make it red", **SETTINGS)(red, photos(), LABELS)


def test_bad_settings_are_named() -> None:
    with pytest.raises(TypeError, match=r"editor must have edit and latent_shape, got object"):
        Instruct2Attack(object(), "make it red", **SETTINGS)
    with pytest.raises(ValueError, match="instructions must hold at least one"):
        Instruct2Attack(Tinting(), [], **SETTINGS)
    with pytest.raises(ValueError, match="bound must be finite and > 0"):
        Instruct2Attack(Tinting(), "make it red", perceptual=colour_difference, bound=0)
    with pytest.raises(ValueError, match=r"perceptual must give \[5\], got \[\]"):
        Instruct2Attack(Tinting(), "make it red", perceptual=lambda x, y: (x - y).sum(), bound=1)(
            red, photos(), LABELS
        )
    with pytest.raises(TypeError, match="got Tinting without unet"):
        InstructPix2PixEditor(Tinting())


def test_without_diffusers_or_weights_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "diffusers", None)  # as if it were not installed
        with pytest.raises(ImportError, match=r"pip install diffusers transformers") as caught:
            InstructPix2PixEditor.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)
    pytest.importorskip("diffusers")
    with pytest.raises(FileNotFoundError, match=r"no model_index\.json in .*") as missing:
        InstructPix2PixEditor.from_pretrained(tmp_path)
    assert "\n" not in str(missing.value)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline of the real parts, tiny and with random weights, saved to a folder."""
    diffusers = pytest.importorskip("diffusers")
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("pix2pix")
    letters = [*"abcdefghijklmnopqrstuvwxyz"]
    words = [*letters, *(each + "</w>" for each in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version\n")
    tokenizer = transformers.CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        text = transformers.CLIPTextModel(
            transformers.CLIPTextConfig(
                vocab_size=len(words), hidden_size=32, intermediate_size=37, num_hidden_layers=1,
                num_attention_heads=4, max_position_embeddings=16,
                bos_token_id=len(words) - 2, eos_token_id=len(words) - 1,
            )
        )  # fmt: skip
        unet = diffusers.UNet2DConditionModel(
            block_out_channels=(32, 64), layers_per_block=1, in_channels=8, out_channels=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), cross_attention_dim=32,
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), attention_head_dim=8,
        )  # fmt: skip
        vae = diffusers.AutoencoderKL(
            block_out_channels=[32, 64], down_block_types=["DownEncoderBlock2D"] * 2,
            up_block_types=["UpDecoderBlock2D"] * 2, latent_channels=4,
        )  # fmt: skip
    scheduler = diffusers.EulerAncestralDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
    )
    diffusers.StableDiffusionInstructPix2PixPipeline(
        vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder / "weights")  # fmt: skip
    return folder / "weights"


@pytest.mark.slow
def test_an_edit_by_instruct_pix2pix_is_a_function_with_a_gradient(weights: Path) -> None:
    editor = InstructPix2PixEditor.from_pretrained(weights, steps=3)
    assert isinstance(editor, Editor)
    images = photos(2).float()
    generator = torch.Generator().manual_seed(0)
    shape = (3, 2, *editor.latent_shape(images))
    guidance = torch.rand(shape, generator=generator).requires_grad_()
    edited = editor.edit(images, "snow", *guidance)
    assert torch.equal(edited, editor.edit(images, "snow", *guidance))
    assert not torch.equal(edited, editor.edit(images, "night", *guidance))
    weight = torch.randn(edited.shape, generator=generator)
    (grad,) = torch.autograd.grad((weight * edited).sum(), guidance)
    for part in range(3):
        way = torch.zeros_like(grad)
        way[part] = grad[part] / grad[part].norm()
        with torch.no_grad():
            ends = [
                (weight * editor.edit(images, "snow", *(guidance + side * way))).sum()
                for side in (0.01, -0.01)
            ]
        slope = (ends[0] - ends[1]) / 0.02
        # float32, and the difference of two edits
        torch.testing.assert_close(slope, grad[part].norm(), rtol=2e-2, atol=1e-3)
