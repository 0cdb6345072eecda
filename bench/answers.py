"""Whether a server answers what the model says."""

import json
from collections.abc import Sequence
from http import HTTPStatus

import numpy as np
from numpy.typing import NDArray

from bench.errors import WrongAnswers
from bench.servers import Server

TOLERANCE = 1e-3
# A file of another precision answers a little otherwise; what it may is measured when it is made.
OTHER_PRECISION = 0.05


def check_answers(
    server: Server,
    requests: Sequence[bytes],
    expected: NDArray[np.float64],
    tolerance: float = TOLERANCE,
) -> float:
    """Post every image once, and compare the probabilities.

    Args:
        server: A server that is ready.
        requests: One for each image.
        expected: The in-process session's probabilities, shape (images, classes).
        tolerance: The most that a probability may differ.

    Returns:
        The largest difference.

    Raises:
        WrongAnswers: It is above the tolerance, or an answer is no 200.
    """
    found = [_ask(server, request) for request in requests]
    difference = float(np.abs(np.array(found) - expected).max())
    if difference > tolerance:
        raise WrongAnswers(f"its probabilities are off by up to {difference:.2g}")
    return difference


def probabilities(body: bytes) -> list[float]:
    """Take the probabilities out of an answer: this service's, or a peer's."""
    answer = json.loads(body)
    if "results" in answer:
        return [finding["probability"] for finding in answer["results"][0]["findings"]]
    # BentoML answers a request to a batched route with a list, here of one.
    values: list[float] = (answer[0] if isinstance(answer, list) else answer)["probabilities"]
    return values


def _ask(server: Server, request: bytes) -> list[float]:
    answer = server.ask(request)
    if answer.status != HTTPStatus.OK:
        raise WrongAnswers(f"it answered {answer.status}: {answer.body[:200]!r}")
    return probabilities(answer.body)
