"""Of a DICOM file what a report groups by: date, site and device. Nothing that names a patient."""

import io
import re

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

_TAGS = ["StudyDate", "InstitutionName", "Manufacturer", "ManufacturerModelName"]
_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})")


def facts_of(data: bytes) -> dict[str, str | None]:
    """``study_date`` as YYYY-MM-DD, ``site`` and ``device``; None where the file does not say."""
    facts: dict[str, str | None] = {"study_date": None, "site": None, "device": None}
    try:
        header = dcmread(io.BytesIO(data), specific_tags=_TAGS, stop_before_pixels=True)
        date = _DATE.fullmatch(str(header.get("StudyDate") or ""))
        maker = (header.get("Manufacturer"), header.get("ManufacturerModelName"))
        site = header.get("InstitutionName")
    except (InvalidDicomError, ValueError, OSError, KeyError, AttributeError, TypeError):
        # No DICOM, or one that the service will say what is wrong with.
        return facts
    return {
        "study_date": "-".join(date.groups()) if date else None,
        "site": str(site) if site else None,
        "device": " ".join(str(part) for part in maker if part) or None,
    }
