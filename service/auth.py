"""Who asks: the key or bearer token (RFC 6750) that a caller holds, what it opens, how often."""

import asyncio
import hashlib
import hmac
import stat
import time
from collections import deque
from math import ceil
from pathlib import Path
from typing import Literal

from fastapi import Request
from fastapi.security import HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from service.domain import Caller
from service.errors import ProblemType, ServiceError, StartError
from service.logs import Logger
from service.settings import Settings

LOOK_S = 1.0
DOTS_OF_A_TOKEN = 2
Scope = Literal["predict", "read", "feedback", "admin"]


class ApiKey(BaseModel):
    """One key's digest and what it opens; the key itself is kept nowhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    scopes: frozenset[Scope]
    per_minute: int | None = Field(default=None, ge=1)


_FORM = TypeAdapter(dict[str, ApiKey])


class Callers:
    """All who may ask: by keys, which ``Keys`` reads, by tokens of a provider, each so often."""

    def __init__(self, settings: Settings, log: Logger) -> None:
        self._rate = settings.rate_per_minute
        self._keys = self._tokens = None
        if settings.api_keys_file or settings.api_keys:
            self._keys = Keys(settings.api_keys_file, settings.api_keys, log)
        if settings.oidc_issuer:
            from service.oidc import TokenVerifier

            self._tokens = TokenVerifier(
                settings.oidc_issuer,
                settings.oidc_audience,
                lambda reason: log.error("keys of the issuer not fetched", reason=reason),
            )
        # When each caller's last requests came, as many as it may send in a minute.
        self._asked: dict[tuple[str, int], deque[float]] = {}

    def read(self) -> None:
        """Read the key file again."""
        if self._keys is not None:
            self._keys.read()

    async def find(self, token: str | None) -> Caller:
        """Who holds a key or a token; ServiceError where nobody does, or has asked too often."""
        if token is None:
            raise ServiceError(
                ProblemType.UNAUTHENTICATED, "Send a key: 'Authorization: Bearer ...'."
            )
        if self._tokens is not None and (self._keys is None or token.count(".") == DOTS_OF_A_TOKEN):
            # It may have to ask the provider for its keys.
            caller = await asyncio.to_thread(self._tokens.verify, token)
        elif self._keys is not None:
            caller = self._keys.find(token)
        else:
            raise ServiceError(ProblemType.UNAUTHENTICATED, "The key is not known.")
        if most := caller.per_minute or self._rate:
            self._count(caller, most)
        return caller

    def _count(self, caller: Caller, most: int) -> None:
        # The wall clock may be set back by a day, and would lock the caller out for one.
        now = time.monotonic()
        asked = self._asked.setdefault((caller.name, most), deque(maxlen=most))
        if len(asked) == most and (wait := asked[0] + 60 - now) > 0:
            raise ServiceError(
                ProblemType.RATE_EXCEEDED,
                f"{most} requests a minute are allowed to {caller.name}.",
                ceil(wait),
            )
        asked.append(now)


class Keys:
    """The keys of a file ``{name: {"sha256": hex of the key's SHA-256, "scopes": [...]}}``.

    It is read again where it changes, within a second of the next request. A file that cannot be
    used then leaves the keys as they are, and the log says why; one that has no key any more is
    believed. ``content`` adds to them.

    Raises StartError where the file cannot be read, is not of that form, others than its owner and
    group may write it, or there is no key at the start.
    """

    def __init__(self, file: Path | None, content: SecretStr | None, log: Logger) -> None:
        self._file, self._log = file, log
        self._given = {}
        if content is not None:
            self._given = _parse(content.get_secret_value(), "PNEUMO_API_KEYS")
        self._looked, self._seen = time.monotonic(), _state(file)
        self._keys = self._given | _read(file)
        if not self._keys:
            name = "PNEUMO_API_KEYS_FILE" if file else "PNEUMO_API_KEYS"
            raise StartError(f"{name} has no key.")
        if file is not None and file.stat().st_mode & stat.S_IROTH:
            log.warning("key file readable by everybody", advice="take that from others: chmod o-r")

    def read(self) -> None:
        """Read the file again."""
        try:
            self._keys = self._given | _read(self._file)
        except StartError as error:
            self._log.warning("keys not reloaded", reason=str(error))

    def find(self, token: str) -> Caller:
        """The caller that holds a key; raises ServiceError where it is not known."""
        now = time.monotonic()
        if now - self._looked > LOOK_S:
            self._looked = now
            if (state := _state(self._file)) != self._seen:
                self._seen = state
                self.read()
        digest = hashlib.sha256(token.encode()).hexdigest()
        # All are compared, in constant time, so that the time taken tells nothing of any of them.
        known = self._keys.items()
        found = {name: key for name, key in known if hmac.compare_digest(key.sha256, digest)}
        if not found:
            raise ServiceError(ProblemType.UNAUTHENTICATED, "The key is not known.")
        scopes = frozenset[str]().union(*(key.scopes for key in found.values()))
        rates = [key.per_minute for key in found.values() if key.per_minute]
        return Caller(",".join(found), scopes, max(rates, default=None))


def _state(file: Path | None) -> tuple[int, ...] | None:
    """What changes with a file, also where a link to it is exchanged; None where it is gone."""
    try:
        found = file.stat() if file else None
    except OSError:
        return None
    return found and (found.st_mtime_ns, found.st_size, found.st_ino)


def _read(file: Path | None) -> dict[str, ApiKey]:
    if file is None:
        return {}
    try:
        content, mode = file.read_bytes(), file.stat().st_mode
    except OSError as error:
        raise StartError(f"PNEUMO_API_KEYS_FILE cannot be read: {error.strerror}.") from error
    keys = _parse(content, "PNEUMO_API_KEYS_FILE")
    if mode & stat.S_IWOTH:
        raise StartError(
            "PNEUMO_API_KEYS_FILE can be written by everybody, who could add a key: chmod o-w."
        )
    return keys


def _parse(content: str | bytes, name: str) -> dict[str, ApiKey]:
    try:
        return _FORM.validate_json(content)
    except ValidationError as error:
        places = ", ".join(".".join(map(str, e["loc"])) or "the file" for e in error.errors())
        raise StartError(f"{name} is not well-formed at {places}.") from error


class Requires(HTTPBearer):
    """Lets a request pass where its key has the scope; where no keys are set, all but ``admin``."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(
            scheme_name="ApiKey",
            description="A key or an OpenID provider's access token, where one is asked for.",
        )
        self._scope = scope

    async def __call__(self, request: Request) -> None:  # type: ignore[override]
        """Check the key, or raise ServiceError."""
        callers: Callers | None = request.app.state.runtime.callers
        if callers is None:
            if self._scope == "admin":
                raise ServiceError(
                    ProblemType.FORBIDDEN,
                    "This needs an API key with the scope 'admin', and no keys are configured: "
                    "see PNEUMO_API_KEYS_FILE.",
                )
            return
        scheme, token = get_authorization_scheme_param(request.headers.get("authorization"))
        caller = await callers.find(token if scheme.lower() == "bearer" else None)
        # For the line of the request in the log, and the audit trail.
        request.scope["state"]["key"] = caller.name
        if self._scope not in caller.scopes:
            raise ServiceError(
                ProblemType.FORBIDDEN, f"The key does not have the scope {self._scope!r}."
            )
