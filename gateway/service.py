"""A client of the services' `POST /predict`, and what they say of an image, or of a series."""

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from contract.series import combine
from gateway.config import Service
from gateway.errors import GatewayError, Permanent, Transient
from gateway.http_peer import HttpPeer
from gateway.tables import Instance

MAX_SLICES = 32
_AWAY_S = 5.0
# A request that the service fails on may be what it fails on.
_ATTEMPTS_OF_A_FAILURE = 8


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer: ``model`` and ``result`` are those of the body of `POST /predict`.

    ``note`` says in words how it came about, where that is not plain.
    """

    model: dict[str, Any]
    result: dict[str, Any]
    note: str | None = None

    @property
    def digest(self) -> str:
        """The digest of the model's file."""
        return str(self.model["digest"])


class _Service(HttpPeer):
    """A service, and until when it is left alone."""

    probe = "/health/ready"
    attempts = _ATTEMPTS_OF_A_FAILURE
    away_until = 0.0

    def problem(self, answer: httpx.Response) -> str:
        """Its problem details, which are the project's own words."""
        try:
            detail = str(answer.json()["detail"])
        except (ValueError, KeyError, TypeError):
            detail = "no problem details"
        return f"{answer.status_code}: {detail}"


class Services:
    """All services of one gateway."""

    def __init__(self, config: Service) -> None:
        self._longest_s = config.timeout_s
        self._peers = [
            _Service(url, config.key_file, config.tls, config.timeout_s) for url in config.urls
        ]
        self._turn = itertools.count()

    def close(self) -> None:
        """Close all connections."""
        for peer in self._peers:
            peer.close()

    def predict(
        self,
        file: Path,
        frame: int = 1,
        *,
        model: str | None = None,
        heatmap: bool = False,
        authorization: str | None = None,
    ) -> Reading:
        """Have one frame of a DICOM file read, counted from 1; Transient, Permanent where none is.

        By default the service chooses the ``model``, and the gateway's own key is the
        ``authorization``.
        """
        asked = {"frame": str(frame), "model": model, "explain": "heatmap" if heatmap else None}
        query = {name: value for name, value in asked.items() if value}
        headers = {"Content-Type": "application/dicom", "Accept": "application/json"}
        if authorization is not None:
            headers["Authorization"] = authorization
        refusal: Transient | None = None
        for peer in self._in_turn():
            try:
                with file.open("rb") as body:
                    return _reading(peer.ask("POST", "/predict", body, headers, query))
            except Transient as error:
                # A reader's key, or rate, says nothing of the service.
                if authorization is None:
                    wait_s = _AWAY_S if error.retry_after_s is None else error.retry_after_s
                    peer.away_until = time.monotonic() + min(wait_s, self._longest_s)
                refusal = error
        raise refusal or Transient("every service is away")

    def model(self, name: str, version: int) -> dict[str, Any]:
        """What a service says of a model; Transient where none says anything."""
        problem = "none answers"
        for peer in self._in_turn():
            try:
                return dict(peer.ask("GET", f"/models/{name}/versions/{version}").json())
            except (GatewayError, ValueError) as error:
                problem = str(error)
        raise Transient(f"no service says how the model reads a series: {problem}")

    def ready(self) -> bool:
        """Whether one of the services says that it is."""
        return any(peer.echo() for peer in self._peers)

    def _in_turn(self) -> list[_Service]:
        """Those that are not left alone, each time beginning with another; else all of them."""
        start = next(self._turn) % len(self._peers)
        peers = self._peers[start:] + self._peers[:start]
        now = time.monotonic()
        return [peer for peer in peers if peer.away_until <= now] or peers[:1]


def _reading(answer: httpx.Response) -> Reading:
    if answer.is_error:
        raise Permanent(f"the service answers with {answer.status_code}")
    try:
        [result] = answer.json()["results"]
        if result["status"] == "ok":
            return Reading(result["model"], result)
        problem = str(result["problem"]["detail"])
    except (ValueError, TypeError, LookupError) as error:
        # Something else answers at this address, such as a page to log in at.
        problem = f"{answer.status_code} and no answer of /predict"
        raise Transient(problem, attempts=_ATTEMPTS_OF_A_FAILURE) from error
    raise Permanent(problem)


def evenly_spaced(count: int, at_most: int = MAX_SLICES) -> list[int]:
    """Indices into a series, from the first slice to the last, at equal distances."""
    if count <= at_most:
        return list(range(count))
    return [round(i * (count - 1) / (at_most - 1)) for i in range(at_most)]


def in_order(instances: Sequence[Instance]) -> list[tuple[Instance, int]]:
    """The slices, an instance and a frame each, by position if all have one, else by number."""
    facts = {instance.sop_uid: instance.facts or {} for instance in instances}
    by = "position" if all(f["position"] is not None for f in facts.values()) else "number"

    def place(instance: Instance) -> tuple[Any, ...]:
        value = facts[instance.sop_uid][by]
        return (value is None, value or 0, instance.sop_uid)

    return [
        (instance, frame)
        for instance in sorted(instances, key=place)
        for frame in range(1, facts[instance.sop_uid]["frames"] + 1)
    ]


def of_series(readings: Sequence[Reading], slices: int, model: Mapping[str, Any]) -> Reading:
    """Read a series of so many slices from one or more of them, by the rule of their model.

    ``model`` is what a service says of it.
    """
    result = {"status": "ok", **combine([reading.result for reading in readings], model)}
    note = f"Read from {len(readings)} of {slices} slices, evenly spaced. {result['sentence']}"
    return Reading(readings[0].model, result, note)
