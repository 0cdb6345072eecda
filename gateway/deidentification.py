"""Copies of images without what identifies the patient: the Basic Profile of PS3.15.

The table of attributes, the dummies and the new UIDs are dicom-anonymizer's. That looks at the top
level alone, and keeps dummies of what is to be removed or emptied; the rest is done here.

Source: DICOM PS3.15 E.1, E.2 and table E.1-1, edition 2026c.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pydicom
from dicomanonymizer import simpledicomanonymizer as library
from pydicom.dataset import Dataset, FileMetaDataset

from gateway.errors import Unacceptable
from gateway.headers import dataset

_EDITION = "dicomfields_2026c"
_METHOD = dataset(
    CodeValue="113100",
    CodingSchemeDesignator="DCM",
    CodeMeaning="Basic Application Confidentiality Profile",
)
# The library's, of the year 1, is refused by validators.
_DUMMY_TIME = "19000101000000"
_EMPTIED = (library.empty, library.delete_or_empty)
Tag = tuple[int, int]


def deidentify_file(file: Path, folder: Path) -> Path:
    """Write a copy of an image without what identifies the patient; its name is its new UID.

    UIDs are replaced by others, by the same ones throughout a process. The pixels are not changed:
    text that is burnt in stays. Unacceptable where it is no image, or cannot be cleaned.
    """
    try:
        copied = pydicom.dcmread(file)
        syntax = copied.file_meta.TransferSyntaxUID
        is_image = "Rows" in copied
        _clean(copied)
    except OSError:
        raise
    except Exception as error:  # pydicom and the library raise whatever the values lead them to
        raise Unacceptable(f"It cannot be cleaned ({type(error).__name__}).") from error
    if not is_image:
        raise Unacceptable("It holds no image; what a report says is not cleaned.")
    copied.PatientIdentityRemoved = "YES"
    copied.DeidentificationMethod = "Basic Profile; pixels not changed"
    copied.DeidentificationMethodCodeSequence = [_METHOD]
    copied.preamble, copied.file_meta = None, FileMetaDataset()
    copied.file_meta.TransferSyntaxUID = syntax
    copy = folder / f"{copied.SOPInstanceUID}.dcm"
    copied.save_as(copy, enforce_file_format=True)
    return copy


def _clean(dataset: Dataset) -> None:
    """Clean a data set, and the items of the sequences that are left in it."""
    library.anonymize_dataset(dataset, base_rules_gen=_actions)
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                _clean(item)


def _actions() -> dict[tuple[int, ...], Callable[[Dataset, Tag], None]]:
    table = library.initialize_actions(_EDITION)
    return {tag: partial(_act, action) for tag, action in table.items()}


def _act(action: Callable[[Dataset, Tag], None], dataset: Dataset, tag: Tag) -> None:
    """Do what the table says, to sequences and dates as well."""
    element = dataset.get(tag)
    if element is None:
        return
    if action is library.delete:
        del dataset[tag]
    elif action in _EMPTIED:
        element.value = None
    elif element.VR != "SQ":
        action(dataset, tag)
        if element.VR == "DT":
            element.value = _DUMMY_TIME
    elif action is not library.delete_or_empty_or_replace_UID:  # that one's items have other UIDs
        element.value = []
