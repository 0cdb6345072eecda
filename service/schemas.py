"""The bodies of answers, as a client's generated code sees them, and the query of /predict."""

from datetime import datetime
from typing import Annotated, Literal, cast

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from contract.decision import Reason
from contract.findings import Code, Label
from contract.manifest import Metric, Precision
from contract.quality import CheckName


class _Body(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        from_attributes=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )


class PredictQuery(_Body):
    """The query of /predict. A name or a value that is not known is refused, never ignored."""

    model: Annotated[str, Field(min_length=1, max_length=64)] | SkipJsonSchema[None] = None
    """The model; by default the one that takes the image's DICOM modality, else the default one."""
    version: Annotated[int, Field(ge=1)] | SkipJsonSchema[None] = None
    """The version of the model; by default the latest."""
    explain: Literal["none", "heatmap", Label] = "none"
    """`heatmap` adds pictures of where the model saw the decided finding, or else the most probable
    one, and of where the lungs are. The label of a finding adds the picture of that one."""
    frame: int = Field(default=1, ge=1)
    """The frame of a multi-frame image, counted from 1."""
    priority: Literal["routine", "stat"] = "routine"
    """`stat` images go ahead of all waiting `routine` ones."""

    @property
    def heatmap(self) -> bool:
        """Whether pictures are asked for."""
        return self.explain != "none"

    @property
    def finding(self) -> Label | None:
        """What the heatmap is to be of; None leaves it to the decision."""
        return None if self.explain in {"none", "heatmap"} else cast("Label", self.explain)


class Problem(_Body):
    """A problem detail, RFC 9457."""

    type: str
    """A stable address that names the kind of problem."""
    title: str
    """The kind of problem, in words."""
    status: int
    """The HTTP status."""
    detail: str
    """What is wrong in this case, and what to do."""
    instance: str
    """The request, by its identifier."""


class Coding(_Body):
    """A concept of a terminology."""

    system: str
    code: str


class FindingResult(_Body):
    """One class of the model."""

    label: Label
    code: Coding
    probability: float = Field(ge=0, le=1)
    """Calibrated."""
    operating_point: float = Field(ge=0, le=1)
    """The least probability at which the finding counts as present."""
    present: bool


class QualityCheck(_Body):
    """One quality check of an image."""

    name: CheckName
    value: float
    lower: float | None
    """The least value that is accepted; null where there is no such limit."""
    upper: float | None
    """The largest value that is accepted; null where there is no such limit."""
    passed: bool
    advice: str | None
    """What to do about it, for the person who can take the image again; null where it passed."""


class QualityResult(_Body):
    """Whether the image is good enough to be read by this model."""

    accepted: bool
    """Whether every check was passed; where not, the image is referred."""
    checks: list[QualityCheck]


class OutOfDistributionResult(_Body):
    """How unlike the model's training images this one is."""

    score: float
    """Larger for what is less alike; the scale is the model's own."""
    limit: float
    """The largest score that is accepted."""
    accepted: bool


class HeatmapResult(_Body):
    """A gray picture over the radiograph: 0 no evidence, 255 full strength of the finding."""

    label: Label
    media_type: Literal["image/png"]
    data: str = Field(json_schema_extra={"contentEncoding": "base64"})
    """The PNG, in base64."""
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    inside_lungs: float | None = Field(default=None, ge=0, le=1)
    """The share of the evidence that lies in the lungs. Absent where there is no evidence, or where
    the lungs are not known."""


class LungsResult(_Body):
    """A gray picture over the radiograph: 0 no lung, 255 lung, as a model draws them."""

    media_type: Literal["image/png"]
    data: str = Field(json_schema_extra={"contentEncoding": "base64"})
    """The PNG, in base64."""
    width: int = Field(ge=1)
    """As the heatmap's."""
    height: int = Field(ge=1)
    """As the heatmap's."""


class ModelReference(_Body):
    """Which model answered."""

    name: str
    version: int
    digest: str
    intended_use: str
    site: str | None = None
    """Where the model was commissioned; absent where nowhere."""


class EvidenceResult(_Body):
    """What an answer rests on: the source of the training that the image is most like."""

    source: str
    distance: float
    """As a share of the source's limit: above 1 the image is like none."""
    findings: list[Label]
    """Those that the model was shown to tell apart in the source; it answers no other there."""
    called: int
    """The source's held-out images that were answered with the most probable finding."""
    right: int
    """How many of them had it."""
    sentence: str
    """In words, for the most probable finding."""


class ImageDescription(_Body):
    """What was read. What only DICOM says is absent where it is not known or not DICOM."""

    format: Literal["JPEG", "PNG", "TIFF", "DICOM"]
    frame: int = Field(ge=1)
    """The one that was read."""
    frames: int = Field(ge=1)
    """How many the file has."""
    rows: int = Field(ge=1)
    """Of the image as it was sent, which heatmap and lungs lie over."""
    columns: int = Field(ge=1)
    """As `rows`."""
    turned: str | None = None
    """How the image was brought upright for the model, in words; absent where it was not."""
    modality: str | None = None
    """A term of DICOM's, or `OTHER`."""
    view_position: str | None = None
    """A term of DICOM's, `LATERAL`, `OBLIQUE` or `OTHER`."""
    sop_instance_uid: str | None = None
    """Of the DICOM file, as are the others; absent with `PNEUMO_ECHO_UIDS=0`."""
    series_instance_uid: str | None = None
    study_instance_uid: str | None = None


class ImageAnswer(_Body):
    """What the model says of one file."""

    file: str | None
    """The last component of the client's file name; null for a raw body."""
    sha256: str
    status: Literal["ok"]
    model: ModelReference
    """The one that answered this file."""
    image: ImageDescription
    decision: Label | Literal["refer"]
    """The one finding that is present, or `refer`: a person should look."""
    reasons: list[Reason]
    """Why the image is referred; empty where it is not."""
    findings: list[FindingResult]
    """Every class of the model, in output order."""
    quality: QualityResult | None = None
    """Absent where the model has no limits of quality."""
    out_of_distribution: OutOfDistributionResult | None = None
    """Absent where the model does not measure it."""
    evidence: EvidenceResult | None = None
    """Absent where the model does not tell its sources apart."""
    heatmap: HeatmapResult | None = None
    """Only with `explain`: of the finding that it names, else the decided or most probable one."""
    lungs: LungsResult | None = None
    """Only with `explain`, on a radiograph, where the service has a segmenter."""


class ImageRejection(_Body):
    """A file that cannot be read."""

    file: str | None
    """The last component of the client's file name; null for a raw body."""
    sha256: str
    status: Literal["error"]
    problem: Problem


class SeriesAnswer(_Body):
    """What the model says of several slices of one CT series, beside what it says of each."""

    series_instance_uid: str | None = None
    """Absent with `PNEUMO_ECHO_UIDS=0`."""
    slices: list[int]
    """Where they stand in `results`, counted from 0."""
    left_out: list[int]
    """Those of them that do not count: of poor quality, or unlike all that the model knows."""
    model: ModelReference
    """The one that answered every slice."""
    rule: Literal["mean", "max"]
    """How the probabilities follow from those of the slices."""
    figure: Metric | None = None
    """How well the rule tells held-out series apart; absent where that was not measured."""
    sentence: str
    """Rule and figure in words."""
    decision: Label | Literal["refer"]
    """As of an image."""
    reasons: list[Reason]
    """Why the series is referred; empty where it is not."""
    findings: list[FindingResult]
    """As of an image."""


class Timing(_Body):
    """Milliseconds. The stages are summed over the files of a request; the total is wall time."""

    decode: float
    queue: float
    inference: float
    total: float


class PredictionBody(_Body):
    """The answer to /predict."""

    id: str
    """Of this prediction, a UUID version 7."""
    model: ModelReference
    """Of the first file that was answered; where none was, the one that was asked for."""
    execution_provider: str
    precision: Precision
    """Of the file that ran, whose digest is the model's; another one than that which was configured
    where the model has no such file."""
    results: list[Annotated[ImageAnswer | ImageRejection, Field(discriminator="status")]]
    """One for each file, in the order in which they were sent."""
    series: list[SeriesAnswer] = Field(default_factory=list)
    """One for each CT series of which several slices were read; absent where there is none."""
    timing_ms: Timing


class FindingDescription(_Body):
    """One class of a model."""

    label: Label
    code: Code
    operating_point: float
    operating_point_rule: str


class SiteDescription(_Body):
    """A hospital that a version was commissioned at; its figures are the version's metrics."""

    name: str
    commissioned_at: datetime
    verdict: Literal["fit to answer here", "refer only"]
    """Where it is `refer only`, every image is referred."""
    patients: int
    """Whose images it was commissioned on."""


class ModelDescription(_Body):
    """One version of one model."""

    name: str
    version: int
    digest: str
    intended_use: str
    summary: str
    modalities: list[str]
    body_parts: list[str]
    height: int
    """Of the input, in pixels."""
    width: int
    """Of the input, in pixels."""
    findings: list[FindingDescription]
    """In output order."""
    series_rule: Literal["mean", "max"]
    """How the probabilities of a series follow from those of its slices."""
    metrics: list[Metric]
    site: SiteDescription | None
    """Where the version was commissioned; null where it answers as it was trained."""
    ages: Annotated[list[int], Field(min_length=2, max_length=2)] | None
    """Of the youngest and the oldest patient that it learned from, in years; null where unknown."""
    dataset: str
    licence: str
    trained_at: datetime
    execution_provider: str
    precision: Precision
    """Of the file that runs, whose digest this is."""


class ModelVersions(_Body):
    """All versions of one model."""

    name: str
    latest: int
    versions: list[ModelDescription]


class ModelList(_Body):
    """All models."""

    default: str
    """The model for an image whose modality names no other."""
    models: list[ModelDescription]


class RefusedBundle(_Body):
    """A bundle that is not served as the models folder has it."""

    bundle: str
    """`<name>/<version>`; `segmenter`, or `*` where the folder as a whole cannot be followed."""
    reason: str


class ModelChanges(_Body):
    """What a reload did. What was refused has changed nothing."""

    default: str
    """The default model from now on."""
    loaded: list[str]
    """New or changed bundles that are served from now on, as `<name>/<version>`."""
    unloaded: list[str]
    """Bundles that new requests are not answered with any more."""
    refused: list[RefusedBundle]


class Feedback(_Body):
    """What a reader says of one image of an answer."""

    image: int = Field(default=0, ge=0)
    """Which image of the answer, counted from 0."""
    finding: Label | SkipJsonSchema[None] = None
    """The finding that it should have been, by its label; without it the reader agrees."""


class FeedbackTaken(_Body):
    """What the feedback was taken for."""

    model: str
    """The model that was asked, as `<name>/<version>`."""
    decision: str
    """What was answered."""
    verdict: Literal["agree", "correct"]


class Agreement(_Body):
    """What readers said of the answers of one version of a model."""

    name: str
    version: int
    agreed: int = Field(ge=0)
    corrected: int = Field(ge=0)


class Agreements(_Body):
    """What readers said of the answers in the audit trail."""

    models: list[Agreement]
    """Those with feedback."""


class Health(_Body):
    """How the service is."""

    status: Literal["loading", "ready", "device-lost", "stopping", "failed"]
    """`device-lost`: no model runs on the accelerator, until a probe finds that one does again."""
    version: str
    uptime_s: float
    execution_provider: str | None
    """Where the models really run; null until they are loaded."""
    precision: Precision | None
    """Of the default model; null until it is loaded."""
    in_flight: int = Field(ge=0)
    """Images in the service now, waiting or in work."""
    queue_limit: int = Field(ge=1)
    """The most images that may be in it; more are answered with 429."""
    models: list[ModelReference]
    feedback: bool
    """Whether there is an audit trail, in which readers can agree with an answer or correct it."""
    gateway: str | None
    """Where the page has DICOM reports made; null for nowhere."""


class Liveness(_Body):
    """The loop turns and, on a GPU, a model still runs."""

    status: Literal["live"]


class Readiness(_Body):
    """Every model is loaded and warm and, on a GPU, still runs."""

    status: Literal["ready"]


class ProblemDescription(_Body):
    """One kind of problem."""

    type: str
    title: str
    status: int
