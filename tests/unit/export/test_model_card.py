import re

import pytest

from contract.findings import Label
from contract.manifest import Metric, ModelManifest
from contract.quality import Limit, QualityLimits
from export.cards import model_card
from tests.bundles import make_manifest


@pytest.fixture(scope="module")
def manifest() -> ModelManifest:
    return make_manifest("sha256:" + 64 * "0")


def metric(name: str, label: Label | None = None, source: str | None = None) -> Metric:
    return Metric(
        dataset="pooled, test",
        name=name,
        value=0.9,
        lower=0.8,
        upper=0.95,
        images=120,
        label=label,
        source=source,
    )


def card_with(manifest: ModelManifest, *metrics: Metric) -> str:
    return model_card(manifest.model_copy(update={"metrics": metrics}))


def answer(card: str, item: str) -> str:
    found = re.search(rf"\| {re.escape(item)} \| (.*) \|", card)
    assert found, item
    return found[1]


def test_the_use_that_it_is_meant_for_comes_before_any_figure(manifest: ModelManifest) -> None:
    card = model_card(manifest.model_copy(update={"caveats": ("Mind the gap.",)}))

    assert manifest.digest in card
    assert "- Mind the gap." in card
    assert card.index("Research only. Not for diagnosis.") < card.index("## Intended use")
    assert card.index("## Intended use") < card.index("## Measured")


def test_each_finding_has_its_own_figures(manifest: ModelManifest) -> None:
    card = card_with(
        manifest,
        metric("auroc"),
        metric("sensitivity", "normal"),
        metric("sensitivity", "pneumonia"),
    )

    assert "| pooled, test | auroc | 0.900 | 0.800 to 0.950 | 120 |" in card
    assert "| Measure | normal | pneumonia |" in card
    assert "| Sensitivity | 0.900 (0.800 to 0.950) | 0.900 (0.800 to 0.950) |" in card


def test_each_source_has_its_own_figures(manifest: ModelManifest) -> None:
    card = card_with(
        manifest, metric("accuracy", source="kermany"), metric("auroc", "pneumonia", "kermany")
    )

    assert "| kermany | 120 | 0.900 (0.800 to 0.950) |" in card
    assert "| kermany | pneumonia | 120 | 0.900 (0.800 to 0.950) |" in card
    assert "by source" in answer(card, "Demography, fairness")


def test_an_accuracy_over_several_findings_says_what_it_is(manifest: ModelManifest) -> None:
    several = card_with(manifest, metric("accuracy"), metric("balanced_accuracy"))
    two_sided = card_with(manifest, metric("accuracy"), metric("sensitivity"))

    assert "of the most probable finding" in several
    assert "of the most probable finding" not in two_sided


def test_one_source_is_no_study_of_fairness(manifest: ModelManifest) -> None:
    card = card_with(manifest, metric("auroc"))

    assert "### By source" not in card
    assert answer(card, "Demography, fairness").startswith("Not done.")


def test_honesty_figures_are_shown_with_what_they_mean(manifest: ModelManifest) -> None:
    card = card_with(manifest, metric("auroc"), metric("border_only_auroc"))

    honesty = card[card.index("## Honesty checks") :]
    assert "- `border_only`: " in honesty
    assert "`left_out`" not in honesty
    assert "| Border only AUROC | 0.900 | 0.800 to 0.950 | 120 |" in honesty
    assert answer(card, "Robustness, sensitivity") == "Measured, under Honesty checks."


def test_a_check_that_was_not_made_is_said_to_be_not_done(manifest: ModelManifest) -> None:
    card = card_with(manifest, metric("auroc"))

    assert "## Honesty checks" not in card
    assert answer(card, "Robustness, sensitivity") == "Not done."
    assert answer(card, "Evaluation on external data") == "Not done."


def test_sources_left_out_of_the_training_are_external_data(manifest: ModelManifest) -> None:
    card = card_with(manifest, metric("left_out_auroc", source="hospital-b"))

    assert "sources left out" in answer(card, "Evaluation on external data")


@pytest.mark.parametrize(("column", "items"), [(0, 44), (1, 27)])
def test_every_item_of_both_guidelines_is_answered(
    manifest: ModelManifest, column: int, items: int
) -> None:
    _, table = model_card(manifest).split("| CLAIM | TRIPOD+AI | Item | Answer |\n")
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[1:]]
    numbers: set[int] = set()
    for row in rows:
        for part in re.findall(r"\d+(?: to \d+)?", row[column]):
            first, _, last = part.partition(" to ")
            numbers |= set(range(int(first), int(last or first) + 1))

    assert numbers == set(range(1, items + 1))
    assert all(len(row) == 4 and row[3] for row in rows)


def test_without_quality_and_ood_limits_it_says_that_it_answers_on_anything(
    manifest: ModelManifest,
) -> None:
    card = model_card(manifest)

    assert "Answers on anything" in card
    assert "is also referred" not in card


def test_the_limits_beyond_which_it_does_not_answer_are_named() -> None:
    limits = QualityLimits(limits=(Limit(check="exposure", lower=0.1, upper=0.9),))
    guarded = make_manifest("sha256:" + 64 * "0", quality=limits, ood_limit=4.25)

    card = model_card(guarded)

    assert "- Its quality is outside the manifest's limits of: exposure." in card
    assert "is above 4.25." in card
    assert "Answers on anything" not in card


def test_a_bar_in_a_name_does_not_break_a_table(manifest: ModelManifest) -> None:
    card = card_with(manifest, metric("accuracy", source="left|right"))

    assert "| left\\|right | 120 |" in card
