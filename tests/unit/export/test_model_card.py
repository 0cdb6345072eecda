import re

import pytest

from contract.quality import Limit, QualityLimits
from export.cards import model_card
from tests.bundles import make_manifest
from tests.training_data import metric

BARE = make_manifest("sha256:" + 64 * "0")
LIMITS = QualityLimits(limits=(Limit(check="exposure", lower=0.1, upper=0.9),))


def answer(card: str, item: str) -> str:
    found = re.search(rf"\| {re.escape(item)} \| (.*) \|", card)
    assert found, item
    return found[1]


def test_every_figure_has_its_place_behind_the_use_that_the_model_is_meant_for() -> None:
    metrics = (
        metric("auroc"),
        metric("accuracy"),
        metric("balanced_accuracy"),
        metric("sensitivity", label="normal"),
        metric("sensitivity", label="pneumonia"),
        metric("accuracy", source="kermany"),
        metric("accuracy", source="left|right"),
        metric("auroc", label="pneumonia", source="kermany"),
        metric("border_only_auroc"),
    )

    card = model_card(BARE.model_copy(update={"metrics": metrics, "caveats": ("Mind the gap.",)}))

    assert BARE.digest in card
    assert "- Mind the gap." in card
    assert card.index("Research only. Not for diagnosis.") < card.index("## Intended use")
    assert card.index("## Intended use") < card.index("## Measured")
    assert "| planted | auroc | 0.500 | 0.400 to 0.600 | 1200 |" in card
    assert "of the most probable finding" in card
    assert "| Measure | normal | pneumonia |" in card
    assert "| Sensitivity | 0.500 (0.400 to 0.600) | 0.500 (0.400 to 0.600) |" in card
    assert "| kermany | 1,200 | 0.500 (0.400 to 0.600) |" in card
    # A bar in a name does not break a table.
    assert "| left\\|right | 1,200 |" in card
    assert "| kermany | pneumonia | 1,200 | 0.500 (0.400 to 0.600) |" in card
    assert "by source" in answer(card, "Demography, fairness")
    honesty = card[card.index("## Honesty checks") :]
    assert "- `border_only`: " in honesty
    assert "`left_out`" not in honesty
    assert "| Border only AUROC | 0.500 | 0.400 to 0.600 | 1,200 |" in honesty
    assert answer(card, "Robustness, sensitivity") == "Measured, under Honesty checks."


def test_what_was_not_measured_is_said_to_be_not_done() -> None:
    card = model_card(BARE.model_copy(update={"metrics": (metric("auroc"), metric("accuracy"))}))

    assert "of the most probable finding" not in card
    assert "### By source" not in card
    assert answer(card, "Demography, fairness").startswith("Not done.")
    assert "## Honesty checks" not in card
    assert answer(card, "Robustness, sensitivity") == "Not done."
    assert answer(card, "Evaluation on external data") == "Not done."
    assert "Answers on anything" in card
    assert "is also referred" not in card


def test_sources_left_out_are_external_data_and_limits_of_an_answer_are_named() -> None:
    guarded = make_manifest(BARE.digest, quality=LIMITS, ood_limit=4.25)
    left_out = (metric("left_out_auroc", source="hospital-b"),)

    card = model_card(guarded.model_copy(update={"metrics": left_out}))

    assert "sources left out" in answer(card, "Evaluation on external data")
    assert "- Its quality is outside the manifest's limits of: exposure." in card
    assert "is above 4.25." in card
    assert "Answers on anything" not in card


@pytest.mark.parametrize(("column", "items"), [(0, 44), (1, 27)])
def test_every_item_of_both_guidelines_is_answered(column: int, items: int) -> None:
    _, table = model_card(BARE).split("| CLAIM | TRIPOD+AI | Item | Answer |\n")
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[1:]]
    numbers: set[int] = set()
    for row in rows:
        for part in re.findall(r"\d+(?: to \d+)?", row[column]):
            first, _, last = part.partition(" to ")
            numbers |= set(range(int(first), int(last or first) + 1))

    assert numbers == set(range(1, items + 1))
    assert all(len(row) == 4 and row[3] for row in rows)
