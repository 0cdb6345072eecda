import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from contract.pixels import resize
from contract.preprocessing import PreprocessingSpec, preprocess
from contract.radiograph import decode
from tests.odd_files import ByteOrder, as_deep_png, as_raw_tiff
from tests.synthetic import Pixels, as_dicom, as_jpeg, as_png, as_tiff, saved, synthetic_radiograph

CHEST = synthetic_radiograph(60, 80)
DEEP = CHEST.astype(np.uint16) * 16 + 15
RANDOM = np.random.default_rng(7)
Encoder = Callable[[Pixels], bytes]


def bt_601(colour: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.asarray(colour[..., :3].astype(np.float64) @ (0.299, 0.587, 0.114))


def test_a_jpeg_is_decoded_as_pillow_decodes_it() -> None:
    data = as_jpeg(CHEST)

    radiograph = decode(data)

    assert (radiograph.format, radiograph.rows, radiograph.columns) == ("JPEG", 60, 80)
    assert (radiograph.frame, radiograph.frames, radiograph.dicom) == (1, 1, None)
    assert np.array_equal(radiograph.pixels, np.asarray(Image.open(io.BytesIO(data))))


def test_a_colour_jpeg_becomes_luma() -> None:
    colour = np.stack([CHEST, CHEST // 2, 255 - CHEST], axis=-1)

    data = as_jpeg(colour)

    decoded = np.asarray(Image.open(io.BytesIO(data)))
    assert np.abs(decode(data).pixels - bt_601(decoded)).mean() < 1


def test_a_cmyk_jpeg_becomes_luma() -> None:
    data = saved(Image.fromarray(CHEST).convert("CMYK"), "JPEG", quality=95)

    assert np.abs(decode(data).pixels.astype(int) - CHEST).mean() < 2


@pytest.mark.parametrize("quality", [75, 95])
def test_a_reduced_jpeg_resizes_to_nearly_the_same_as_a_full_one(quality: int) -> None:
    data = as_jpeg(synthetic_radiograph(1000, 1300, opacity=0.5), quality)

    reduced = decode(data, at_least=(192, 192))
    full = decode(data)
    difference = np.abs(
        resize(reduced.pixels, (192, 192)).astype(int) - resize(full.pixels, (192, 192))
    )

    assert reduced.pixels.shape == (250, 325)
    assert (reduced.rows, reduced.columns) == (1000, 1300) == full.pixels.shape
    assert difference.mean() < 0.8
    assert difference.max() <= 6


@pytest.mark.parametrize(
    ("at_least", "shape"), [((100, 25), (125, 25)), ((200, 50), (250, 50)), ((126, 9), (250, 50))]
)
def test_a_reduced_jpeg_stays_as_large_as_needed(
    at_least: tuple[int, int], shape: tuple[int, int]
) -> None:
    data = as_jpeg(synthetic_radiograph(1000, 200))

    assert decode(data, at_least=at_least).pixels.shape == shape


@pytest.mark.data
def test_reduced_decoding_of_real_radiographs_stays_within_its_tolerance(data_dir: Path) -> None:
    files = sorted((data_dir / "chest_xray_originals").glob("*/*.jpeg"))
    differences = []
    for file in files:
        data = file.read_bytes()
        reduced = resize(decode(data, at_least=(192, 192)).pixels, (192, 192)).astype(int)
        differences.append(np.abs(reduced - resize(decode(data).pixels, (192, 192))).mean())

    assert len(files) == 36
    assert np.mean(differences) < 0.8
    assert np.max(differences) < 2


@pytest.mark.parametrize("orientation", range(1, 10))
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "TIFF"])
def test_an_image_is_turned_upright_as_exif_says(format_name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(CHEST, format_name, exif=exif)

    radiograph = decode(data)

    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert np.array_equal(radiograph.pixels, np.asarray(upright))
    assert (radiograph.rows, radiograph.columns) == radiograph.pixels.shape
    assert radiograph.pixels.flags.c_contiguous


def test_a_turned_jpeg_is_reduced_to_the_needed_size_of_the_upright_image() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(synthetic_radiograph(400, 1600), "JPEG", exif=exif)

    radiograph = decode(data, at_least=(200, 50))

    assert (radiograph.rows, radiograph.columns) == (1600, 400)
    assert radiograph.pixels.shape == (200, 50)


@pytest.mark.parametrize("block", [b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_a_damaged_exif_block_does_not_spoil_the_image(block: bytes) -> None:
    # Without a resolution, Pillow would look for one in the block, and forgive its damage.
    jpeg = saved(CHEST, "JPEG", dpi=(72, 72))
    segment = b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block

    radiograph = decode(jpeg[:2] + segment + jpeg[2:])

    assert np.array_equal(radiograph.pixels, decode(jpeg).pixels)


@pytest.mark.parametrize(
    "data",
    [
        *(as_png(DEEP), as_tiff(DEEP)),
        *(
            saved(DEEP, "TIFF", compression=each)
            for each in ("tiff_lzw", "tiff_adobe_deflate", "packbits")
        ),
    ],
)
def test_12_bit_gray_in_16_bits_is_scaled_not_clipped(data: bytes) -> None:
    pixels = decode(data).pixels

    assert pixels.dtype == np.uint16
    assert np.array_equal(pixels, np.rint(DEEP * (65535 / 4095)))


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_tiff_is_read_in_both_byte_orders(order: ByteOrder) -> None:
    deep = RANDOM.integers(0, 65536, (5, 7)).astype(np.uint16)

    assert np.array_equal(decode(as_raw_tiff(deep, order=order)).pixels, deep)


@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA", "LA", "1"])
def test_png_colour_modes_become_luma(mode: str) -> None:
    colour = np.stack([CHEST, CHEST // 2, CHEST // 3], axis=-1)
    image = Image.fromarray(colour).convert(mode)

    pixels = decode(saved(image, "PNG")).pixels

    assert np.abs(pixels - bt_601(np.asarray(image.convert("RGB")))).max() < 1


def test_alpha_is_composited_over_black() -> None:
    rgba = np.full((2, 3, 4), 200, dtype=np.uint8)
    rgba[..., 3] = [[0, 128, 255]] * 2

    assert decode(as_png(rgba)).pixels.tolist() == [[0, 100, 200]] * 2


def test_a_transparent_palette_entry_is_black() -> None:
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    image.putpalette([255, 255, 255, 90, 90, 90])

    assert decode(saved(image, "PNG", transparency=0)).pixels.tolist() == [[0, 90]]
    assert decode(saved(image, "PNG", transparency=b"\0\xff")).pixels.tolist() == [[0, 90]]


def test_the_transparent_gray_of_a_16_bit_png_is_black() -> None:
    deep = np.array([[40000, 50000]], dtype=np.uint16)
    image = Image.fromarray(deep)

    assert decode(saved(image, "PNG", transparency=50000)).pixels.tolist() == [[40000, 0]]


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_16_bit_colour_and_alpha_in_png_are_right_to_one_gray_of_255(channels: int) -> None:
    deep = RANDOM.integers(0, 65536, (90, 110, channels)).astype(np.uint16)
    gray = deep[..., 0] if channels == 2 else bt_601(deep)
    alpha = 1 if channels == 3 else deep[..., -1] / 65535

    pixels = decode(as_deep_png(deep)).pixels

    assert pixels.dtype == np.uint8
    assert np.abs(pixels - np.rint(gray * alpha / 257)).max() <= 1


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_opaque_black_and_white_stay_so_in_16_bit_colour(channels: int) -> None:
    deep = np.full((1, 2, channels), 65535, np.uint16)
    deep[0, 0, : -1 if channels != 3 else None] = 0

    assert decode(as_deep_png(deep)).pixels.tolist() == [[0, 255]]


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_whose_zero_is_white_is_inverted(bits: int) -> None:
    samples = np.array([[0, 2**bits - 1]], dtype=f"u{bits // 8}")

    assert decode(as_raw_tiff(samples, tags={262: [0]})).pixels.tolist() == [[2**bits - 1, 0]]


@pytest.mark.parametrize(("extra", "expected"), [(0, 200), (1, 200), (2, 100)])
def test_the_second_sample_of_a_gray_tiff_is_what_its_tag_says(extra: int, expected: int) -> None:
    samples = np.array([[[200, 128]]], dtype=np.uint8)

    assert decode(as_raw_tiff(samples, tags={338: [extra]})).pixels.tolist() == [[expected]]


def test_each_page_of_a_tiff_is_a_frame() -> None:
    data = as_raw_tiff(CHEST, CHEST[::-1], CHEST[:10])

    second, third = decode(data, frame=2), decode(data, frame=3)

    assert (second.frame, second.frames) == (2, 3)
    assert np.array_equal(second.pixels, CHEST[::-1])
    assert (third.rows, third.columns) == (10, 80)


def test_a_large_image_within_the_budget_raises_no_warning_of_pillow() -> None:
    data = as_raw_tiff(np.zeros((9000, 10_000), dtype=np.uint8))

    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        radiograph = decode(data)

    assert radiograph.pixels.shape == (9000, 10_000)
    assert raised == []


def test_colour_planes_of_8_bits_are_read() -> None:
    planes = RANDOM.integers(0, 256, (3, 4, 5)).astype(np.uint8)
    data = as_raw_tiff(
        planes.reshape(12, 5),
        tags={
            257: [4],
            258: [8] * 3,
            262: [2],
            273: [8, 28, 48],
            277: [3],
            278: [4],
            279: [20] * 3,
            284: [2],
            339: [1] * 3,
        },
    )

    assert np.abs(decode(data).pixels - bt_601(np.moveaxis(planes, 0, -1))).max() < 1


@pytest.mark.parametrize("gray", [0, 255])
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (20_000, 40)])
@pytest.mark.parametrize("encode", [as_jpeg, as_png, as_tiff, as_dicom])
def test_extreme_shapes_and_constant_images_decode(
    encode: Encoder, shape: tuple[int, int], gray: int
) -> None:
    radiograph = decode(encode(np.full(shape, gray, dtype=np.uint8)), at_least=(64, 64))
    fitted = preprocess(radiograph, PreprocessingSpec(height=64, width=48))

    assert (radiograph.rows, radiograph.columns) == shape
    assert (radiograph.pixels == gray).all()
    assert fitted.shape == (64, 48, 1)
    assert (fitted == gray).all()
