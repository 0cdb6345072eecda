from service.errors import ProblemType
from tests.gateway.stack import REPOSITORY

STRINGS = REPOSITORY / "web" / "src" / "strings"
# The page waits on these, cannot cause them, or nobody is there to read them.
NOT_SHOWN = {
    "audit-unavailable",
    "client-disconnected",
    "cross-origin",
    "deadline-exceeded",
    "head-timeout",
    "headers-too-large",
    "invalid-parameter",
    "invalid-request",
    "malformed-encoding",
    "malformed-inference",
    "malformed-multipart",
    "malformed-request",
    "method-not-allowed",
    "misdirected-request",
    "no-audit-trail",
    "no-file",
    "not-acceptable",
    "not-found",
    "overloaded",
    "queue-full",
    "rate-exceeded",
    "reload-refused",
    "shutting-down",
    "too-many-files",
    "too-many-uploads",
    "unavailable",
    "unknown-answer",
    "unsupported-encoding",
    "unsupported-media-type",
}


def test_every_problem_that_an_image_can_meet_has_words_of_its_own() -> None:
    english = (STRINGS / "en.ts").read_text()

    slugs = {kind.slug for kind in ProblemType} - NOT_SHOWN

    assert [slug for slug in sorted(slugs) if f"{slug}: [" not in english.replace('"', "")] == []
