"""Every image of a data set, read and measured once.

``contract.radiograph.decode`` gives gray, for a model may see nothing else. A tint is lost in it,
and a tint that gives the class away is one of the things looked for here. So the header and the
colours of JPEG, PNG and TIFF are read with Pillow, for these facts alone.
"""

import hashlib
import io
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from rich.console import Console

import contract
from contract.errors import ImageError
from contract.pixels import resize, to_uint8
from contract.radiograph import Radiograph, decode
from training.atomic import write_errors
from training.datasets.base import Dataset
from training.errors import DataError
from training.progress import progress_bar

THUMBNAIL_SIDE = 96
# Markers, tubes and collimation lie in this share of each side.
BORDER_SHARE = 0.05
BLACK_BELOW = 8
# Rounding in colour conversion makes channels of gray differ by a level or two.
COLOURED_LEVELS = 4
GRAY_MODES = frozenset({"1", "L", "LA", "La", "I", "F"})
MONOCHROME = frozenset({"MONOCHROME1", "MONOCHROME2"})
STANDARD_LUMINANCE_SUM = 3688
OPTIONAL = ("jpeg_quality", "coloured", "tint")

Facts = dict[str, Any]
Plane = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Survey:
    """What was measured of a data set.

    ``table`` has one row per readable image, numbered from 0: the columns of ``ImageRow``, those of
    ``measure``, ``aspect`` (width over height) and ``bytes_per_pixel``. ``thumbnails`` is uint8,
    shape (images, 96, 96). ``unreadable`` has one row per image that cannot be read: the columns of
    ``ImageRow`` and ``reason``.
    """

    table: pd.DataFrame
    thumbnails: NDArray[np.uint8]
    unreadable: pd.DataFrame


def take_survey(dataset: Dataset, folder: Path, console: Console) -> Survey:
    """Measure every image of a data set; what an earlier run has measured is not read again.

    A file is known by its path, its size and the time of its last change. A file that cannot be
    opened is tried again by the next run.

    Args:
        dataset: The images.
        folder: Where measurements are kept; may be removed at any time.
        console: Where progress is shown.

    Raises:
        DataError: No image can be read.
        WriteFailed: The folder cannot be written.
    """
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    kept = joblib.Memory(folder, verbose=0).cache(_measured)
    code = _code_digest()

    def outcome(path: str) -> tuple[Facts, Plane] | str:
        try:
            status = (dataset.root / path).stat()
            return kept(str(dataset.root / path), status.st_size, status.st_mtime_ns, code)
        except OSError as error:
            return error.strerror or str(error)

    table, paths = dataset.table, list(dataset.table["path"])
    with progress_bar(console) as bar, ThreadPoolExecutor() as pool, warnings.catch_warnings():
        # joblib warns of a slow disk and of a new version of a function; neither is at fault.
        warnings.simplefilter("ignore", UserWarning)
        found = list(bar.track(pool.map(outcome, paths), len(paths), description="measuring"))
    reasons = pd.Series([one if isinstance(one, str) else None for one in found], dtype=object)
    readable = [one for one in found if not isinstance(one, str)]
    if not readable:
        example = next(iter(reasons), "it lists none")
        raise DataError(f"No image of the data set can be read. The first: {example}")
    lost = reasons.notna().to_numpy()
    # A column in which nothing was measured would otherwise be one of objects.
    facts = pd.DataFrame([facts for facts, _ in readable]).astype(dict.fromkeys(OPTIONAL, float))
    return Survey(
        table=table[~lost]
        .reset_index(drop=True)
        .assign(
            **facts,
            aspect=facts["columns"] / facts["rows"],
            bytes_per_pixel=facts["bytes"] / (facts["columns"] * facts["rows"]),
        ),
        thumbnails=np.stack([thumbnail for _, thumbnail in readable]),
        unreadable=table.assign(reason=reasons.to_numpy())[lost].reset_index(drop=True),
    )


def measure(data: bytes) -> tuple[Facts, Plane]:
    """Measure one image, which is decoded in full.

    Args:
        data: The whole file.

    Returns:
        The facts, and a thumbnail: uint8, shape (96, 96), stretched to a square as models see it.
        ``rows`` and ``columns`` are pixels, ``bytes`` the size of the file. ``mode`` is Pillow's
        name of the colour mode, or a DICOM's photometric interpretation; ``bits`` counts those of
        the decoded gray. ``jpeg_quality``, 1 to 100, is None where
        the file is no JPEG. ``coloured`` is the share of pixels whose channels differ, ``tint`` by
        how many gray levels they differ on average; both None for a DICOM in colour. ``mean_gray``,
        ``contrast`` (the standard deviation) and ``border_gray`` are gray levels, 0 black to 255
        white; ``border_black`` is the share of black pixels in the outer twentieth of each side.

    Raises:
        ImageError: The file cannot be read.
    """
    radiograph = decode(data)
    pixels = to_uint8(radiograph.pixels)
    border = _border(pixels)
    facts = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "format": radiograph.format,
        "bits": 8 * radiograph.pixels.itemsize,
        "rows": radiograph.rows,
        "columns": radiograph.columns,
        "mean_gray": float(pixels.mean()),
        "contrast": float(pixels.std()),
        "border_gray": float(border.mean()),
        "border_black": float((border < BLACK_BELOW).mean()),
        **_storage(data, radiograph),
    }
    return facts, resize(pixels, (THUMBNAIL_SIDE, THUMBNAIL_SIDE))


def _measured(path: str, _size: int, _changed: int, _code: str) -> tuple[Facts, Plane] | str:
    """The facts of a file and its thumbnail, or why it is no image."""
    try:
        return measure(Path(path).read_bytes())
    except ImageError as error:
        return str(error)


def _code_digest() -> str:
    """Another way of decoding or of measuring makes everything measured before it stale."""
    digest = hashlib.sha256()
    for source in (*sorted(Path(contract.__path__[0]).glob("*.py")), Path(__file__)):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _border(pixels: Plane) -> Plane:
    """The pixels along the four sides, in one row."""
    border = np.ones(pixels.shape, bool)
    rows, columns = (max(1, round(BORDER_SHARE * side)) for side in pixels.shape)
    border[rows:-rows, columns:-columns] = False
    return pixels[border]


def _storage(data: bytes, radiograph: Radiograph) -> Facts:
    """How an image is stored."""
    if radiograph.dicom is not None:
        mode = radiograph.dicom.photometric_interpretation
        tint = 0.0 if mode in MONOCHROME else None
        return {"mode": mode, "jpeg_quality": None, "coloured": tint, "tint": tint}
    with Image.open(io.BytesIO(data), formats=[radiograph.format]) as image:
        mode, quality = image.mode, _jpeg_quality(image)
        coloured, tint = _colour(image)
    return {"mode": mode, "jpeg_quality": quality, "coloured": coloured, "tint": tint}


def _jpeg_quality(image: Image.Image) -> float | None:
    """Estimate the quality setting of the common encoder from the luminance table.

    Source: ITU-T T.81 K.1 for the standard table, whose 64 values sum to 3688; the way in which
    libjpeg scales it by the quality.
    """
    if not isinstance(image, JpegImageFile):
        return None
    percent = 100 * sum(image.quantization[0]) / STANDARD_LUMINANCE_SUM
    quality = (200 - percent) / 2 if percent <= 100 else 5000 / percent
    return round(min(max(quality, 1.0), 100.0), 1)


def _colour(image: Image.Image) -> tuple[float, float]:
    """The share of coloured pixels, and the mean difference between the channels.

    A small copy is looked at: it keeps a tint, and is free of the noise that JPEG puts on single
    pixels. What is transparent may have any colour, so it is laid over black, as in ``decode``.
    """
    if image.mode in GRAY_MODES or image.mode.startswith("I;16"):
        return 0.0, 0.0
    image.draft("RGB", (2 * THUMBNAIL_SIDE, 2 * THUMBNAIL_SIDE))
    if image.has_transparency_data:
        colour = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colour.size, "black"), colour)
    small = image.convert("RGB").resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
    differences = np.ptp(np.asarray(small).astype(np.int16), axis=-1)
    return float((differences > COLOURED_LEVELS).mean()), float(differences.mean())
