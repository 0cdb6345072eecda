"""What the imaging libraries say beside their results must not reach a log or a caller."""

import logging
import re
import warnings

# The category is narrow: deprecations stay visible to those who develop.
_LIBRARIES = r"PIL\.|pydicom\."
_SILENT = logging.CRITICAL + 1
_FILTER = ("ignore", None, UserWarning, re.compile(_LIBRARIES), 0)


def mute_imaging_libraries() -> None:
    """Ignore the warnings of Pillow and pydicom about odd files, and pydicom's log.

    Both may quote a DICOM value, and with it a patient. The filter is process-wide, since
    ``warnings.catch_warnings`` is not safe among threads; each call renews it.
    """
    log = logging.getLogger("pydicom")
    if log.level != _SILENT:
        log.setLevel(_SILENT)
    if _FILTER not in warnings.filters:
        warnings.filterwarnings("ignore", category=UserWarning, module=_LIBRARIES)
