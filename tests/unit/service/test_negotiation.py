import pytest

from service.negotiation import accepts

JSON = "application/json"


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("text/html, application/*;q=0.1", JSON),
        ("Application/JSON ; q=1", JSON),
        ("text/html,*/*;q=0.8", "image/png"),
        ("text/plain;version=0.0.4;q=0.3", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*;q=0, application/json", JSON),
        ("text/html", ""),
    ],
)
def test_a_media_type_is_accepted_by_its_most_specific_range(accept: str, media_type: str) -> None:
    assert accepts(accept, media_type)


@pytest.mark.parametrize(
    "accept", ["text/html", "application/fhir+json", "*/*, application/json;q=0.000", "image/*"]
)
def test_what_no_range_names_or_a_weight_of_0_refuses_is_not_accepted(accept: str) -> None:
    assert not accepts(accept, JSON)
