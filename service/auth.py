"""API keys: which one a caller holds, and what it opens.

Source: RFC 6750 (bearer tokens).
"""

import hashlib
import hmac
import stat
import time
from pathlib import Path
from typing import Literal

from fastapi import Request
from fastapi.security import HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from service.errors import Forbidden, InvalidConfiguration, Unauthenticated
from service.logs import Logger

LOOK_S = 1.0
Scope = Literal["predict", "read", "admin"]


class ApiKey(BaseModel):
    """One key's digest and what it opens; the key itself is kept nowhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    scopes: frozenset[Scope]


_FORM = TypeAdapter(dict[str, ApiKey])


class Keys:
    """The keys of a file ``{name: {"sha256": hex of the key's SHA-256, "scopes": [...]}}``.

    It is read again where it changes, within a second of the next request. A file that cannot be
    used then leaves the keys as they are, and the log says why.

    Raises:
        InvalidConfiguration: The file cannot be read, is not of that form, has no key, or others
            than its owner and group may write it.
    """

    def __init__(self, file: Path, log: Logger) -> None:
        self._file, self._log = file, log
        self._looked, self._seen = time.monotonic(), _state(file)
        self._keys = _read(file)
        if file.stat().st_mode & stat.S_IROTH:
            log.warning("key file readable by everybody", advice="take that from others: chmod o-r")

    def read(self) -> None:
        """Read the file again."""
        try:
            self._keys = _read(self._file)
        except InvalidConfiguration as error:
            self._log.warning("keys not reloaded", reason=str(error))

    def find(self, token: str | None) -> tuple[str, frozenset[Scope]]:
        """The name of a caller's key, and what it opens.

        Raises:
            Unauthenticated: There is no key, or it is not known.
        """
        now = time.monotonic()
        if now - self._looked > LOOK_S:
            self._looked = now
            if (state := _state(self._file)) != self._seen:
                self._seen = state
                self.read()
        if token is None:
            raise Unauthenticated("Send a key: 'Authorization: Bearer ...'.")
        digest = hashlib.sha256(token.encode()).hexdigest()
        # All are compared, in constant time, so that the time taken tells nothing of any of them.
        known = self._keys.items()
        found = {name: key for name, key in known if hmac.compare_digest(key.sha256, digest)}
        if not found:
            raise Unauthenticated("The key is not known.")
        return ",".join(found), frozenset().union(*(key.scopes for key in found.values()))


def _state(file: Path) -> tuple[int, ...] | None:
    """What changes with a file, also where a link to it is exchanged; None where it is gone."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(file: Path) -> dict[str, ApiKey]:
    try:
        keys = _FORM.validate_json(file.read_bytes())
        mode = file.stat().st_mode
    except OSError as error:
        raise InvalidConfiguration(
            f"PNEUMO_API_KEYS_FILE cannot be read: {error.strerror}."
        ) from error
    except ValidationError as error:
        places = ", ".join(".".join(map(str, e["loc"])) or "the file" for e in error.errors())
        raise InvalidConfiguration(
            f"PNEUMO_API_KEYS_FILE is not well-formed at {places}."
        ) from error
    if not keys:
        raise InvalidConfiguration("PNEUMO_API_KEYS_FILE has no key.")
    if mode & stat.S_IWOTH:
        raise InvalidConfiguration(
            "PNEUMO_API_KEYS_FILE can be written by everybody, who could add a key: chmod o-w."
        )
    return keys


class Requires(HTTPBearer):
    """Lets a request pass where no keys are configured, or where its key has the scope.

    Without keys nobody is an admin: whoever reaches the port may ask, but change nothing.
    """

    def __init__(self, scope: Scope) -> None:
        super().__init__(
            scheme_name="ApiKey",
            description="Needed only where the operator has configured keys.",
        )
        self._scope = scope

    async def __call__(self, request: Request) -> None:  # type: ignore[override]
        """Check the key.

        Raises:
            Unauthenticated: There is no key, or it is not known.
            Forbidden: It does not have the scope, or there are no keys and the scope is ``admin``.
        """
        keys: Keys | None = request.app.state.runtime.keys
        if keys is None and self._scope == "admin":
            raise Forbidden(
                "This needs an API key with the scope 'admin', and no keys are configured: "
                "see PNEUMO_API_KEYS_FILE."
            )
        if keys is None:
            return
        scheme, token = get_authorization_scheme_param(request.headers.get("authorization"))
        name, scopes = keys.find(token if scheme.lower() == "bearer" else None)
        # For the line of the request in the log.
        request.scope["state"]["key"] = name
        if self._scope not in scopes:
            raise Forbidden(f"The key does not have the scope {self._scope!r}.")
