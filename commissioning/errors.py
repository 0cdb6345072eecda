"""What can be wrong with a commissioning before there is a verdict.

CommissioningError
├── LabelsUnusable      the label table, or what it says of the images
├── BackboneUnusable    the feature graph is not one that can be merged
└── ParityFailed        the bundle's graph does not compute what was judged
"""


class CommissioningError(Exception):
    """The base of all; its text says what is wrong, where, and what to do."""


class LabelsUnusable(CommissioningError):
    """The labels cannot be used as they are."""


class BackboneUnusable(CommissioningError):
    """The feature graph cannot be merged into the model's graph."""


class ParityFailed(CommissioningError):
    """The graph that was written answers otherwise than the candidate that was judged."""
