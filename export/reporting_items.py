"""What a study of this kind has to report, and where a model's card answers it.

The items are those that both guidelines share or that one of them adds, in this project's words.

Sources: Tejani 2024, Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 Update,
items 1 to 44; Collins 2024, TRIPOD+AI, items 1 to 27.
"""

from collections.abc import Callable
from dataclasses import dataclass

from contract.manifest import ModelManifest
from training.report import tables

NOT_DONE = "Not done."
IN_THE_DATA_SETS = "Not known here: see the publications of the data sets."

Answer = Callable[[ModelManifest], str]


@dataclass(frozen=True, slots=True)
class ReportingItem:
    """One thing to report: its numbers in CLAIM and TRIPOD+AI, and the card's answer."""

    claim: str
    tripod: str
    what: str
    answer: Answer


def _always(text: str) -> Answer:
    return lambda _: text


def _where_checked(prefix: str, text: str) -> Answer:
    """The text where the manifest has figures with this prefix."""

    def answer(manifest: ModelManifest) -> str:
        done = any(metric.name.startswith(prefix) for metric in manifest.metrics)
        return text if done else NOT_DONE

    return answer


def _by_source(manifest: ModelManifest) -> str:
    if tables.by_source(manifest.metrics).rows:
        return "Measured, under Measured: by source. Other groups (age, sex, origin): not done."
    return f"{NOT_DONE} One source only; age, sex and origin are not in the table of images."


def _robustness(manifest: ModelManifest) -> str:
    prefixes = ("under_", "border_", "lungs_", "source_probe_")
    if any(metric.name.startswith(prefixes) for metric in manifest.metrics):
        return "Measured, under Honesty checks."
    return NOT_DONE


def _counts(manifest: ModelManifest) -> str:
    origin = manifest.provenance
    return (
        f"{origin.training_images} images to train, {origin.validation_images} to validate; the "
        "tested ones under Measured. How the data sets' authors chose them: see their publications."
    )


REPORTING_ITEMS = (
    ReportingItem("1, 2", "1, 2", "What kind of method", _always("Title and summary.")),
    ReportingItem(
        "3, 41", "3, 25", "Background, intended use, users", _always("Under Intended use.")
    ),
    ReportingItem("4, 6", "4", "Aim", _always("A model for research: under Intended use.")),
    ReportingItem(
        "5", "5", "Prospective or retrospective", _always("Retrospective, on public data sets.")
    ),
    ReportingItem("7", "5", "Sources of the data", _always("Under Facts: data and licence.")),
    ReportingItem("8", "6", "Who was included", _always(IN_THE_DATA_SETS)),
    ReportingItem(
        "9", "7", "Preparation of the images", _always("Under Facts: input. The same in service.")
    ),
    ReportingItem("10, 35", "20", "How many images", _counts),
    ReportingItem("11", "17", "De-identification, ethical approval", _always(IN_THE_DATA_SETS)),
    ReportingItem(
        "12", "11", "Missing and unreadable data", _always("Unreadable images are left out.")
    ),
    ReportingItem("13", "9", "How the images were taken", _always(IN_THE_DATA_SETS)),
    ReportingItem(
        "14 to 18",
        "8",
        "Reference standard, its readers and how they agree",
        _always("The labels of the data sets, not read again. " + IN_THE_DATA_SETS),
    ),
    ReportingItem(
        "19, 20",
        "12, 16",
        "How the images were split",
        _always("By patient and by group of near-duplicates, never by image."),
    ),
    ReportingItem("21", "10", "Sample size", _always(f"No calculation. {NOT_DONE}")),
    ReportingItem(
        "22 to 25",
        "12, 21, 22",
        "Network, software, initial weights, training",
        _always("Under Facts: the recipe at that git revision has every value."),
    ),
    ReportingItem(
        "26, 27", "12", "Choice of the final model", _always("By the validation split; see Limits.")
    ),
    ReportingItem(
        "-", "13", "Imbalanced classes", _always("By the recipe's sampling; calibrated after.")
    ),
    ReportingItem("28, 29", "12", "Figures and their uncertainty", _always("Under Measured.")),
    ReportingItem("30", "12", "Robustness, sensitivity", _robustness),
    ReportingItem(
        "31",
        "-",
        "Explanation",
        _always("A class activation map with each answer. Whether it helps a reader: not done."),
    ),
    ReportingItem("32", "23", "Evaluation on internal data", _always("Under Measured.")),
    ReportingItem(
        "33",
        "16, 23",
        "Evaluation on external data",
        _where_checked(
            "left_out_",
            "Under Honesty checks: sources left out of the training. Prospectively: not done.",
        ),
    ),
    ReportingItem("34", "18", "Registration", _always(NOT_DONE)),
    ReportingItem("36", "14, 20", "Demography, fairness", _by_source),
    ReportingItem("37, 38", "15, 23", "Performance", _always("Under Findings and Measured.")),
    ReportingItem(
        "39",
        "-",
        "Failures",
        _always(
            "Shown in the evaluation's report, which stays with the data. Analysed by a reader: "
            "not done."
        ),
    ),
    ReportingItem("40", "26", "Limits", _always("Under Limits.")),
    ReportingItem("42", "18", "Protocol", _always("None was published before the training.")),
    ReportingItem(
        "43",
        "18, 27",
        "Availability",
        _always("Model and code are here; the images are not, see their licence."),
    ),
    ReportingItem("44", "18", "Funding, interests", _always("Not stated.")),
    ReportingItem("-", "19", "Patients' part in the study", _always(NOT_DONE)),
    ReportingItem("-", "24", "Updating", _always("A new version is a new folder with its card.")),
)
