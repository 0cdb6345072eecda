"""Everything that can be wrong with an image or a model bundle.

Messages say what is wrong and what to do. They never carry a path, a patient's name or any other
DICOM value that could identify a person.
"""


class ContractError(Exception):
    """Base of every error that this package raises."""


class ImageError(ContractError):
    """One image cannot be used."""


class NotAnImage(ImageError):
    """The bytes are no image format at all."""


class CorruptImage(ImageError):
    """The format is known, but the bytes are truncated or damaged."""


class PixelDataMismatch(ImageError):
    """The pixel data contradicts its own header."""


class UnsupportedFormat(ImageError):
    """An image format that is not decoded here."""


class UnsupportedTransferSyntax(UnsupportedFormat):
    """A DICOM transfer syntax for which no decoder is registered."""


class NoPixelData(ImageError):
    """A DICOM object that holds no image."""


class FrameOutOfRange(ImageError):
    """The asked-for frame does not exist."""


class TooManyPixels(ImageError):
    """The image is larger than the pixel budget, as its header says."""


class TooExpensive(ImageError):
    """Decoding would take more memory or time than one file may, as its structure says."""


class UnsuitableImage(ImageError):
    """The modality, the body part or the view is not one that the model takes."""


class ManifestError(ContractError):
    """One model bundle cannot be used."""


class InvalidManifest(ManifestError):
    """manifest.json is missing, unreadable or inconsistent."""


class DigestMismatch(ManifestError):
    """model.onnx is not the file that the manifest describes."""


class SignatureMismatch(ManifestError):
    """The graph's inputs or outputs differ from the manifest."""


class UntrustedBundle(ManifestError):
    """The bundle is not signed by the key that is trusted."""


class InvalidKey(ManifestError):
    """A key to sign bundles with, or to trust, is none of Ed25519."""


class GoldenMismatch(ManifestError):
    """The graph answers otherwise than when it was exported."""
