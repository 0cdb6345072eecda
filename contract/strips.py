"""An image of Pillow, a band of rows at a time.

NumPy takes an image from Pillow in pieces and joins them, which would hold a large one three times.
"""

from collections.abc import Callable, Iterator

from PIL.Image import Image

from contract.pixels import BLOCK_VALUES, GrayPixels, join_rows


def strips(image: Image) -> Iterator[Image]:
    """Cut an image into bands of about a million pixels, from top to bottom; it is loaded first."""
    image.load()
    rows = max(1, BLOCK_VALUES // image.width)
    if rows >= image.height:
        yield image
        return
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height)))


def in_strips(render: Callable[[Image], GrayPixels], image: Image) -> GrayPixels:
    """Render an image a band at a time; it is loaded first, which may turn a TIFF."""
    image.load()
    return join_rows((render(strip) for strip in strips(image)), image.height)
