"""The report's vocabulary, and where the pictures show the activation."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sr._concepts_dict import concepts

from contract.findings import CODES
from gateway.activation import activation_map, secondary_capture
from gateway.report import Source, structured_report
from gateway.service import Reading
from tests.gateway.drawn import film, finding

HEATMAP_SIZE = (50, 40)


def reading(decision: str) -> Reading:
    """A reading whose heatmap is strong in the upper left quarter alone."""
    heatmap = np.zeros(HEATMAP_SIZE[::-1], np.uint8)
    heatmap[:20, :25] = 255
    file = io.BytesIO()
    Image.fromarray(heatmap).save(file, "PNG")
    findings = [finding(str(label), 0.25, code.code) for label, code in CODES.items()]
    picture = base64.b64encode(file.getvalue()).decode()
    result: dict[str, Any] = {
        "decision": decision,
        "reasons": ["uncertain"] if decision == "refer" else [],
        "findings": findings,
        "heatmap": {"label": "pneumonia", "data": picture},
    }
    return Reading({"name": "m", "version": 1, "digest": f"sha256:{'0' * 64}"}, result)


def film_in(folder: Path, **attributes: Any) -> Source:
    file = folder / "film.dcm"
    file.write_bytes(film(1, StudyDate="20260102", **attributes))
    return Source(file)


def codes_in(dataset: Dataset) -> Iterator[tuple[str, str, str]]:
    for element in dataset.iterall():
        if element.keyword.endswith("CodeSequence"):
            for item in element.value:
                yield item.CodingSchemeDesignator, item.CodeValue, item.CodeMeaning


@pytest.mark.parametrize("decision", ["refer", "pneumonia"])
def test_the_report_calls_things_by_the_names_that_the_standard_has_for_them(
    tmp_path: Path, decision: str
) -> None:
    source = film_in(tmp_path, PixelSpacing=[0.2, 0.2])
    dictionaries: dict[str, Any] = concepts
    known: dict[tuple[str, str], set[str]] = {}
    for scheme, named in dictionaries.items():
        for code, (meaning, _) in (pair for codes in named.values() for pair in codes.items()):
            # "Source (attribute)" is the terminology's full name of "Source".
            plain = meaning.lower().partition(" (")[0]
            known.setdefault((scheme, str(code)), set()).add(plain)

    said = set(codes_in(structured_report("k", reading(decision), [source])))

    standard = {(scheme, code): name for scheme, code, name in said if (scheme, code) in known}
    # Its title says "research only" too, as a reader of the document must see.
    assert standard.pop(("DCM", "126000")) == "Imaging Measurement Report (research only)"
    assert {code: name for code, name in standard.items() if name.lower() not in known[code]} == {}
    # What the dictionaries lack are findings, and the words of this project.
    others = {(scheme, code) for scheme, code, _ in said} - {*standard, ("DCM", "126000")}
    findings = {("SCT", code.code) for code in CODES.values()}
    own = {("99PNEUMO", "DECISION"), ("99PNEUMO", "REFER")}
    language, radiography, units = ("RFC5646", "en-US"), ("SCT", "399208008"), ("UCUM", "{pixels}")
    assert others <= findings | own | {language, radiography, units}


@pytest.mark.parametrize("orientation", [["L", "F"], ["R", "H"]])
def test_a_picture_shows_the_activation_where_the_film_as_it_was_sent_has_it(
    tmp_path: Path, orientation: list[str]
) -> None:
    source = film_in(tmp_path, PatientOrientation=orientation)

    picture = secondary_capture("k", reading("refer"), source).pixel_array

    redness = picture[..., 0].astype(int) - picture[..., 2]
    height, width = redness.shape
    assert redness[height // 4, width // 4] > 50
    assert redness[3 * height // 4, 3 * width // 4] == 0
    # And it shows the film as it was sent, below a band with the notice.
    band = (height - source.header.Rows) // 2
    shown = picture[band : band + source.header.Rows, ..., 2].astype(float)
    sent = pydicom.dcmread(source.file).pixel_array.astype(float)
    assert np.corrcoef(shown[300:].ravel(), sent[300:].ravel())[0, 1] > 0.99


def test_the_map_has_the_activation_of_each_pixel_of_the_film(tmp_path: Path) -> None:
    source = film_in(tmp_path)

    drawn = activation_map("k", reading("refer"), source)

    strength = drawn.pixel_array / drawn.MaximumFractionalValue
    assert strength.shape == pydicom.dcmread(source.file).pixel_array.shape
    assert strength[50, 50] == pytest.approx(1)
    assert strength[350, 450] == 0


@pytest.mark.parametrize(
    ("orientation", "is_placed"),
    [
        ({}, False),
        ({"ImageOrientationPatient": []}, False),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}, True),
    ],
)
def test_the_map_lies_where_a_film_says_all_of_its_place(
    tmp_path: Path, *, orientation: dict[str, list[int]], is_placed: bool
) -> None:
    place = {"FrameOfReferenceUID": "1.2", "ImagePositionPatient": [0, 0, 0]}
    source = film_in(tmp_path, PixelSpacing=[1, 1], **place, **orientation)

    drawn = activation_map("k", reading("refer"), source)

    assert ("FrameOfReferenceUID" in drawn) == is_placed


def test_what_is_drawn_from_a_lossy_film_says_so(tmp_path: Path) -> None:
    lossy = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": 10.5,
        "LossyImageCompressionMethod": "ISO_10918_1",
    }
    source = film_in(tmp_path, **lossy)

    for drawn in (
        activation_map("k", reading("refer"), source),
        secondary_capture("k", reading("refer"), source),
    ):
        assert {keyword: drawn[keyword].value for keyword in lossy} == lossy
