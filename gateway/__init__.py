"""DICOM in, a report back, nothing lost: a process of its own, and a client of `POST /predict`."""

__version__ = "0.1.0"
