"""exploration.json: what was found in a data set."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

FindingKind = Literal["unreadable", "overlap", "contradiction", "source", "gap", "shortcut"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Finding(_Frozen):
    """Something that whoever trains on these images has to know, as a sentence."""

    kind: FindingKind
    sentence: str


class Unreadable(_Frozen):
    """An image that cannot be read, and why; it is left out of everything else."""

    path: str
    label: str
    split: str
    source: str
    reason: str


class Count(_Frozen):
    """The readable images of one class, official split and source.

    ``patients`` is 0 where nobody knows whose they are.
    """

    label: str
    split: str
    source: str
    images: int
    patients: int
    unreadable: int


class Spread(_Frozen):
    """The smallest, the middle and the largest value."""

    smallest: float
    median: float
    largest: float


class ClassFacts(_Frozen):
    """How the files of one class are stored.

    ``tinted`` is the share of images with more than 1 % of coloured pixels, None where it was not
    measured in any. ``masks`` counts the images with a lung mask.
    """

    label: str
    images: int
    formats: dict[str, int]
    modes: dict[str, int]
    bits: dict[str, int]
    tinted: float | None
    masks: int
    columns: Spread
    rows: Spread
    bytes: Spread
    jpeg_quality: Spread | None
    mean_gray: Spread
    border_gray: Spread


class Member(_Frozen):
    """One image of a cluster."""

    path: str
    label: str
    split: str
    source: str


class Cluster(_Frozen):
    """Images that are the same picture: byte for byte where ``exact``, else nearly."""

    exact: bool
    members: tuple[Member, ...]

    @property
    def splits(self) -> frozenset[str]:
        """The official splits in which it stands."""
        return frozenset(member.split for member in self.members)

    @property
    def labels(self) -> frozenset[str]:
        """The classes that its images are given."""
        return frozenset(member.label for member in self.members)

    @property
    def sources(self) -> frozenset[str]:
        """Where its images were gathered."""
        return frozenset(member.source for member in self.members)


class Overlap(_Frozen):
    """A patient with images in several official splits, known by one image of each."""

    splits: tuple[str, ...]
    examples: tuple[str, ...]


class Told(_Frozen):
    """How well a property alone tells one class from the others; 0.5 is chance.

    ``lower`` and ``upper`` are the 95 % interval under another draw of groups of images.
    """

    label: str
    auroc: float
    lower: float
    upper: float


class PropertyFacts(_Frozen):
    """What a simple property of the images, which shows no anatomy, says about the class.

    ``balanced_accuracy`` is that of guessing the class, with chance at one over the number of
    classes. ``follows_disease`` marks what the disease itself may change.
    """

    name: str
    follows_disease: bool
    balanced_accuracy: float
    told: tuple[Told, ...]


class Telltale(_Frozen):
    """A value that leaves little doubt of the class: of ``images`` that have it, ``of_label``.

    ``value`` is empty for a property that an image has or has not; ``share_of_all`` is the share of
    the class among all images.
    """

    property: str
    value: str
    label: str
    images: int
    of_label: int
    share_of_all: float


class Exploration(_Frozen):
    """All that was found; ``shortcut_limit`` is that of ``training.explore.shortcuts``."""

    name: str
    licence: str
    images: int
    findings: tuple[Finding, ...]
    counts: tuple[Count, ...]
    classes: tuple[ClassFacts, ...]
    shortcut_limit: float
    properties: tuple[PropertyFacts, ...]
    telltales: tuple[Telltale, ...]
    clusters: tuple[Cluster, ...]
    overlaps: tuple[Overlap, ...]
    unreadable: tuple[Unreadable, ...]
