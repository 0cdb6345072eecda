"""What can keep a model from being exported."""


class ExportError(Exception):
    """Base of every error that this package raises."""


class ConversionError(ExportError):
    """tf2onnx failed, or its graph is not the one that was promised."""


class ParityError(ExportError):
    """A graph answers otherwise than the model or the graph that it comes from."""


class BundleExists(ExportError):
    """A bundle of that name and version is already there."""


class VariantRefused(ExportError):
    """A faster file does not answer as model.onnx does, or cannot be made."""
