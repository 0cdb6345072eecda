"""A real answer, changed on its way: what a model of another kind would have said."""

from collections.abc import Callable, Mapping

from playwright.sync_api import Page, Route

Change = Mapping[str, object]
POOR = {
    "accepted": False,
    "checks": [
        {
            "name": "exposure",
            "value": 0.05,
            "lower": 0.1,
            "upper": 0.9,
            "passed": False,
            "advice": "Too dark.",
        }
    ],
}


def change_answers(page: Page, change: Callable[[Route], Change] | Change) -> None:
    """Give every result of ``/predict`` other values.

    Args:
        page: The tab.
        change: Keys of a result with their values, or what makes them from the request.
    """

    def changed(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        more = change(route) if callable(change) else change
        body["results"][0] |= more
        route.fulfill(response=answer, json=body)

    page.route("**/predict?*", changed)


def findings(probabilities: Mapping[str, float], point: float = 0.2) -> list[dict[str, object]]:
    """Findings as a service gives them, all with one threshold."""
    return [
        {
            "label": label,
            "code": {"system": "http://snomed.info/sct", "code": "0"},
            "probability": probability,
            "operating_point": point,
            "present": probability >= point,
        }
        for label, probability in probabilities.items()
    ]


def evidence(called: int = 0, right: int = 0) -> dict[str, object]:
    """What an answer rests on: images of a source, of which nothing is told if none is called."""
    return {
        "source": "example_256",
        "distance": 0.6,
        "findings": ["normal", "pneumonia"] if called else [],
        "called": called,
        "right": right,
        "sentence": "In the service's words.",
    }
