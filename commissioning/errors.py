"""What can be wrong with a commissioning before there is a verdict."""


class CommissioningError(Exception):
    """The base of all; its text says what is wrong, where, and what to do."""


class LabelsUnusable(CommissioningError):
    """The label table, or what it says of the images, cannot be used as it is."""


class ModelUnusable(CommissioningError):
    """There is no such model or version, or it is not one to commission."""


class BackboneUnusable(CommissioningError):
    """The feature graph cannot be merged into the model's graph."""


class ParityFailed(CommissioningError):
    """The graph that was written answers otherwise than the candidate that was judged."""
