"""JPEG: the codec is the one in the file format, and its surrogate leads an attack."""

import io

import numpy
import pytest
import torch
from scenes import make_net, make_scenes
from torch import Tensor, nn

from sparsedef.attacks import PGD
from sparsedef.defenses import JPEG
from sparsedef.defenses.filters import jpeg_round_trip, smooth_jpeg
from sparsedef.defenses.filters.jpeg import quantisation_tables


def make_photo(height: int, width: int, *, seed: int = 0) -> Tensor:
    """Smooth colour, edges and some noise, of 8-bit values: ``[1, 3, H, W]`` float64."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 6, 7, generator=generator, dtype=torch.float64)
    image = nn.functional.interpolate(coarse, size=(height, width), mode="bicubic")
    image[..., height // 3 : height // 2, width // 4 : width // 2] += 0.3
    image += 0.03 * torch.randn(image.shape, generator=generator, dtype=torch.float64)
    return (image.clamp(0, 1) * 255).round() / 255


def through_pillow(image: Tensor, quality: int, subsample: bool) -> Tensor:
    pillow = pytest.importorskip("PIL.Image")
    pixels = (image[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    file = io.BytesIO()
    pillow.fromarray(pixels).save(
        file, "JPEG", quality=quality, subsampling="4:2:0" if subsample else "4:4:4"
    )
    read = numpy.asarray(pillow.open(file)).copy()
    return torch.from_numpy(read).permute(2, 0, 1)[None].double() / 255


@pytest.mark.parametrize("quality", [50, 75, 90])
@pytest.mark.parametrize("subsample", [False, True])
@pytest.mark.parametrize("size", [(96, 128), (50, 83), (8, 8)])
def test_agrees_with_pillow(size: tuple[int, int], subsample: bool, quality: int) -> None:
    """Equal but for a few levels of 255, and far nearer to the file than the image is.

    The file's codec computes in integers of few bits. Where a coefficient lies near a tie it may
    round to the other side: the finer the table (90), the more of them do, each worth a few
    levels in its block. Hence shares and means, and no bound on single pixels.
    """
    image = make_photo(*size)
    found = jpeg_round_trip(image, quality=quality, subsample=subsample)
    wanted = through_pillow(image, quality, subsample)
    gap = (found - wanted).abs() * 255
    assert gap.mean() < (0.4 if quality < 90 else 1.1)
    assert (gap < 2.5).double().mean() > (0.95 if quality < 90 else 0.85)
    assert gap.mean() < 0.12 * (image - wanted).abs().mean() * 255


@pytest.mark.parametrize("quality", [1, 25, 50, 75, 90, 100])
def test_tables_are_those_in_the_file(quality: int) -> None:
    pillow = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    pillow.new("RGB", (8, 8)).save(file, "JPEG", quality=quality)
    written = pillow.open(file).quantization
    for found, number in zip(quantisation_tables(quality), (0, 1), strict=True):
        assert found.flatten().tolist() == list(written[number])


def test_flat_images_pass_unchanged() -> None:
    levels = torch.arange(0, 256, 5, dtype=torch.float64) / 255
    images = levels[:, None, None, None].expand(-1, 3, 10, 11)
    # grey: the colour planes are exactly 128; a table entry of 1 keeps each grey level
    torch.testing.assert_close(jpeg_round_trip(images, quality=100), images, rtol=0, atol=1e-9)


def test_more_quality_is_nearer_and_more_values_are_kept() -> None:
    image = make_photo(64, 64)
    errors = [
        (jpeg_round_trip(image, quality=quality) - image).norm().item()
        for quality in (10, 30, 60, 90, 100)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 2 * errors[-1]


@pytest.mark.parametrize("subsample", [False, True])
def test_a_second_pass_changes_little(subsample: bool) -> None:
    """Coefficients are multiples already; only the roundings to 8 bits are left to act."""
    image = make_photo(48, 48)
    once = jpeg_round_trip(image, subsample=subsample)
    twice = jpeg_round_trip(once, subsample=subsample)
    assert (twice - once).norm() < 0.5 * (once - image).norm()


@pytest.mark.parametrize("subsample", [False, True])
def test_the_smooth_codec_has_an_exact_gradient(subsample: bool) -> None:
    image = make_photo(5, 9).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: smooth_jpeg(x, subsample=subsample), image, eps=1e-7, atol=1e-5
    )


def test_the_smooth_codec_is_near_the_true_one() -> None:
    image = make_photo(64, 64)
    true = jpeg_round_trip(image, quality=50)
    assert (smooth_jpeg(image, quality=50) - true).norm() < 0.5 * (image - true).norm()


@pytest.mark.parametrize("gradient", ["cubic", "straight"])
def test_the_surrogate_gradient_is_that_of_the_stand_in(gradient: str) -> None:
    """One grey block, no colour lost, values off every tie: written out by hand."""
    quality = 75
    generator = torch.Generator().manual_seed(0)
    grey = torch.randint(60, 190, (1, 1, 8, 8), generator=generator).double() / 255
    image = grey.expand(1, 3, 8, 8).clone().requires_grad_()
    weight = torch.randn(8, 8, generator=generator, dtype=torch.float64)
    found = jpeg_round_trip(image, quality=quality, gradient=gradient)
    (grad,) = torch.autograd.grad((found[0, 1] * weight).sum(), image)
    place = torch.arange(8, dtype=torch.float64)
    basis = torch.cos(torch.pi * (2 * place + 1) * place[:, None] / 16) / 2
    basis[0] *= 0.5**0.5
    scaled = basis @ (255 * grey[0, 0] - 128) @ basis.T / quantisation_tables(quality)[0]
    slope = 3 * (scaled - scaled.round()).square() if gradient == "cubic" else 1.0
    through = basis.T @ ((basis @ weight @ basis.T) * slope) @ basis
    # summed over the channels, a change of grey: what chroma does cancels
    torch.testing.assert_close(grad[0].sum(0), through, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ties_do_not_depend_on_the_batch(dtype: torch.dtype) -> None:
    """Images of 8-bit values, whose averages lie on ties everywhere."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 8, (9, 3, 4, 4), generator=generator).to(dtype) * 32 / 255
    images = images.repeat_interleave(4, 2).repeat_interleave(4, 3)
    for quality in (50, 75, 90):
        whole = jpeg_round_trip(images, quality=quality)
        for i in range(9):
            assert torch.equal(jpeg_round_trip(images[i : i + 1], quality=quality)[0], whole[i])


def test_the_precision_does_not_decide_either() -> None:
    image = make_photo(64, 64)
    double, single = jpeg_round_trip(image), jpeg_round_trip(image.float())
    assert ((double - single.double()).abs() > 0.5 / 255).double().mean() < 1e-3


@pytest.mark.parametrize("gradient", ["cubic", "straight"])
def test_the_true_gradient_says_nothing_and_the_surrogate_defeats_it(gradient: str) -> None:
    images, labels = make_scenes(8)
    defense = JPEG(make_net(), gradient=gradient)
    assert (defense(images).argmax(1) == labels).all()
    step = 1e-7 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(defense((images + step).clamp(0, 1)), defense(images))
    result = PGD(0.3, steps=10)(defense, images, labels)
    assert result.success.all()
    assert sum(result.health.zero) == 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"quality": 0}, ValueError, "quality must be at least 1, got 0"),
        ({"quality": 101}, ValueError, "quality must be at most 100, got 101"),
        ({"quality": 75.0}, TypeError, "quality must be an int, got float"),
        ({"gradient": "linear"}, ValueError, "gradient"),
    ],
)
def test_bad_settings_are_named(options: dict, error: type[Exception], message: str) -> None:  # type: ignore[type-arg]
    for call in (
        lambda: JPEG(nn.Flatten(), **options),
        lambda: jpeg_round_trip(torch.rand(1, 3, 8, 8), **options),
    ):
        with pytest.raises(error, match=message):
            call()
