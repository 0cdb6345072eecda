"""The sheets ``<class>.metadata.xlsx`` of Rahman, Chowdhury and colleagues: where images came from.

Their collections pool others, and the source often decides the class: it has to be known.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from training.datasets.layout import read_sheet
from training.errors import LayoutMismatch

# On these hosts a collection is a project of one owner, elsewhere it is the host.
SHARED_HOSTS = frozenset({"github.com", "kaggle.com"})


def sources_of(
    sheet: Path, images: Sequence[Path], data_set: str, expected: str
) -> dict[Path, str]:
    """Look up where the images of one class were gathered.

    Args:
        sheet: The class's sheet; it may be missing.
        images: The images of the class.
        data_set: The source of an image that no sheet speaks of, and the first part of the others.
        expected: As for ``layout.find_home``.

    Returns:
        A source for each image, such as ``covid-radiography-sirm-org``.

    Raises:
        LayoutMismatch: The sheet cannot be read, or it names none of the images.
    """
    if not sheet.is_file():
        return dict.fromkeys(images, data_set)
    table = read_sheet(sheet, ("FILE NAME", "URL"), expected)
    urls = dict(zip(table["FILE NAME"].map(_key), table["URL"], strict=True))
    if not any(_key(image.name) in urls for image in images):
        raise LayoutMismatch(
            f"{sheet} names none of the images of its class, as {images[0].name}. "
            f"Expected {expected}."
        )
    return {image: _source(data_set, urls.get(_key(image.name), "")) for image in images}


def _key(file_name: str) -> str:
    """``NORMAL-1`` in a sheet is ``Normal-1.png`` on the disk; spaces differ as well."""
    return "".join(file_name.split()).lower().removesuffix(".png")


def _source(data_set: str, url: str) -> str:
    parts = urlsplit(url if "//" in url else f"//{url}")
    host = parts.netloc.lower().removeprefix("www.")
    owner_and_project = parts.path.split("/")[1:3] if host in SHARED_HOSTS else []
    words = re.findall(r"[a-z0-9]+", " ".join([host, *owner_and_project]).lower())
    return "-".join([data_set, *words])
