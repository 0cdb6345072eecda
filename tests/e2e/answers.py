"""A real answer, changed on its way: what a model of another kind would have said."""

from collections.abc import Callable, Mapping

from playwright.sync_api import Page, Route

Change = Mapping[str, object]


def check(
    name: str, value: float, lower: float | None, upper: float | None, advice: str = ""
) -> dict[str, object]:
    """A check of the image's quality as a service gives it: failed where there is advice."""
    result: dict[str, object] = {"passed": not advice} | ({"advice": advice} if advice else {})
    return {"name": name, "value": value, "lower": lower, "upper": upper, **result}


POOR = {"accepted": False, "checks": [check("exposure", 0.05, 0.1, 0.9, "Too dark.")]}


def change_answers(page: Page, change: Callable[[Route], Change] | Change) -> None:
    """Give every result of ``/predict`` other values, or what is made of the request."""

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
