"""An HTTP server that is asked: its key, its TLS, and what its answer means for a repetition."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import httpx

from gateway.config import Tls, read_key
from gateway.errors import GatewayError, KeyRefused, Permanent, Transient

_TOO_BUSY = frozenset({408, 425, 429})
# What an operator mends there or here, and the same request then succeeds.
_KEY_REFUSED = frozenset({401, 403})
_TO_BE_MENDED = frozenset({404, 407, 421})
_ECHO_S = 2.0


class HttpPeer:
    """One address, over connections that are kept open; ``probe`` is what ``echo`` asks for."""

    probe = ""
    attempts: int | None = None
    """How often a request that the peer fails on is repeated, where there is a limit."""

    def __init__(
        self, url: str, key_file: Path | None, tls: Tls | None, timeout_s: float = 30
    ) -> None:
        self._url = url
        self._key_file = key_file
        self._tls = tls or Tls()
        self._timeout_s = timeout_s
        self._client: httpx.Client | None = None
        self._certificates: tuple[int, ...] = ()

    def close(self) -> None:
        """Close the connections; the next request opens new ones, with the certificates of then."""
        if self._client:
            self._client.close()
        self._client = None

    def ask(
        self,
        method: str,
        path: str,
        content: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> httpx.Response:
        """Ask once; Transient or Permanent where no answer comes, or one that says no, except 409.

        Redirects are not followed, for a redirected POST becomes a GET.
        """
        url = self._url.rstrip("/") + path if path else self._url
        key = read_key(self._key_file)
        # Who asks for somebody else brings that one's key.
        sent = {**({"Authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
        limit_s = timeout_s or self._timeout_s
        try:
            answer = self._connections().request(
                method, url, content=content, headers=sent, params=params, timeout=limit_s
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Transient(f"the peer does not answer ({type(error).__name__})") from error
        status = answer.status_code
        if status in _TOO_BUSY or status >= 500:
            attempts = self.attempts if status == httpx.codes.INTERNAL_SERVER_ERROR else None
            raise Transient(self.problem(answer), _retry_after(answer), attempts)
        if status in _KEY_REFUSED:
            raise KeyRefused(self.problem(answer), retry_after_s=0)
        if status in _TO_BE_MENDED or answer.is_redirect:
            raise Transient(self.problem(answer), retry_after_s=0)
        if answer.is_client_error and status != httpx.codes.CONFLICT:
            raise Permanent(self.problem(answer))
        return answer

    def echo(self) -> bool:
        """Whether the peer answers and takes the key; it need not know what it is asked."""
        try:
            self.ask("GET", self.probe, timeout_s=_ECHO_S)
        except Permanent:
            return True
        except (GatewayError, OSError):
            return False
        return True

    def _connections(self) -> httpx.Client:
        """The open ones; new ones once a certificate changed, while threads wait on the old."""
        certificates = self._tls.changed_at()
        client = self._client
        if client is None or certificates != self._certificates:
            client = httpx.Client(trust_env=False, verify=self._tls.context())
            self._client, self._certificates = client, certificates
        return client

    def problem(self, answer: httpx.Response) -> str:
        """What an answer says, in words that name no patient."""
        return f"the peer answers with {answer.status_code}"


def _retry_after(answer: httpx.Response) -> float | None:
    """Source: RFC 9110 10.2.3; of its two forms, the one in seconds."""
    value = answer.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else None
