"""A client of the services' `POST /predict`: several of them in turn, those that answer."""

import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from gateway.config import Service, read_key
from gateway.errors import Permanent, Transient
from gateway.tls import client_context

_AWAY_S = 5.0
# A request that the service fails on may be what it fails on.
_ATTEMPTS_OF_A_FAILURE = 8
_TOO_BUSY = frozenset({408, 425, 429})
# What an operator mends at the service or here, and the same request then succeeds.
_TO_BE_MENDED = frozenset({401, 403, 404, 407, 421})


@dataclass
class _Peer:
    """A service, and until when it is left alone."""

    client: httpx.Client
    away_until: float = 0.0


class Services:
    """All services of one gateway."""

    def __init__(self, config: Service) -> None:
        self._config = config
        verify = client_context(config.tls)
        self._peers = [
            _Peer(
                httpx.Client(base_url=url, timeout=config.timeout_s, trust_env=False, verify=verify)
            )
            for url in config.urls
        ]
        self._turn = itertools.count()

    def close(self) -> None:
        """Close all connections."""
        for peer in self._peers:
            peer.client.close()

    def predict(
        self,
        file: Path,
        frame: int = 1,
        *,
        model: str | None = None,
        heatmap: bool = False,
        key: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Have one frame of a DICOM file read; the body of the answer.

        Args:
            file: Sent as it is, piece by piece.
            frame: Counted from 1.
            model: By default the one that the service chooses.
            heatmap: Whether the answer is to hold one.
            key: The header with the key of whoever asks; by default the gateway's own.

        Raises:
            Transient: No service can answer now.
            Permanent: No service will ever answer this.
        """
        query: dict[str, str | int] = {"frame": frame}
        if model:
            query["model"] = model
        if heatmap:
            query["explain"] = "heatmap"
        refusal: Transient | None = None
        for peer in self._in_turn():
            try:
                return self._ask(peer, file, query, self._headers() if key is None else key)
            except Transient as error:
                self._leave(peer, error)
                refusal = error
        raise refusal or Transient("every service is away")

    def model(self, name: str, version: int) -> dict[str, Any]:
        """What a service says of a model.

        Raises:
            Transient: None says anything.
        """
        problem = "none answers"
        for peer in self._in_turn():
            try:
                path = f"/models/{name}/versions/{version}"
                answer = peer.client.get(path, headers=self._headers())
                if answer.is_success:
                    return dict(answer.json())
                problem = str(answer.status_code)
            except (httpx.HTTPError, ValueError):
                continue
        raise Transient(f"no service says how the model reads a series: {problem}")

    def ready(self) -> bool:
        """Whether one of the services says that it is."""
        for peer in self._peers:
            try:
                if peer.client.get("/health/ready", timeout=2).is_success:
                    return True
            except httpx.HTTPError:
                continue
        return False

    def _in_turn(self) -> list[_Peer]:
        """Those that are not left alone, each time beginning with another; else all of them."""
        start = next(self._turn) % len(self._peers)
        peers = self._peers[start:] + self._peers[:start]
        now = time.monotonic()
        return [peer for peer in peers if peer.away_until <= now] or peers[:1]

    def _leave(self, peer: _Peer, error: Transient) -> None:
        wait_s = _AWAY_S if error.retry_after_s is None else error.retry_after_s
        peer.away_until = time.monotonic() + min(wait_s, self._config.timeout_s)

    def _ask(
        self, peer: _Peer, file: Path, query: dict[str, str | int], key: dict[str, str]
    ) -> dict[str, Any]:
        headers = {"Content-Type": "application/dicom", "Accept": "application/json"}
        try:
            with file.open("rb") as body:
                answer = peer.client.post(
                    "/predict", content=body, params=query, headers=headers | key
                )
        except httpx.HTTPError as error:
            raise Transient(f"the service does not answer ({type(error).__name__})") from error
        return _body(answer)

    def _headers(self) -> dict[str, str]:
        key = read_key(self._config.key_file)
        return {"Authorization": f"Bearer {key}"} if key else {}


def _body(answer: httpx.Response) -> dict[str, Any]:
    status = answer.status_code
    if status in _TOO_BUSY or status >= 500:
        attempts = _ATTEMPTS_OF_A_FAILURE if status == 500 else None
        raise Transient(_problem(answer), _retry_after(answer), attempts)
    if status in _TO_BE_MENDED or answer.is_redirect:
        raise Transient(_problem(answer), retry_after_s=0)
    if not answer.is_success:
        raise Permanent(_problem(answer))
    try:
        body = dict(answer.json())
        [result] = body["results"]
        problem = None if result["status"] == "ok" else str(result["problem"]["detail"])
    except (ValueError, TypeError, LookupError) as error:
        # Something else answers at this address, such as a page to log in at.
        problem = f"{status} and no answer of /predict"
        raise Transient(problem, attempts=_ATTEMPTS_OF_A_FAILURE) from error
    if problem:
        raise Permanent(problem)
    return body


def _problem(answer: httpx.Response) -> str:
    try:
        detail = str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        detail = "no problem details"
    return f"{answer.status_code}: {detail}"


def _retry_after(answer: httpx.Response) -> float | None:
    """Source: RFC 9110 10.2.3; of its two forms, the one in seconds."""
    value = answer.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else None
