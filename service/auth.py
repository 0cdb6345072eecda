"""API keys: which one a caller holds, and what it opens.

Source: RFC 6750 (bearer tokens).
"""

import hashlib
import hmac
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from fastapi import Request
from fastapi.security import HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from service.errors import Forbidden, InvalidConfiguration, Unauthenticated

Scope = Literal["predict", "read", "admin"]


class ApiKey(BaseModel):
    """One key's digest and what it opens; the key itself is kept nowhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    scopes: frozenset[Scope]


_KEY_FILE = TypeAdapter(dict[str, ApiKey])


def read_keys(file: Path | None) -> tuple[ApiKey, ...] | None:
    """Read a key file: ``{name: {"sha256": hex of the key's SHA-256, "scopes": [...]}}``.

    Without a file there are no keys.

    Raises:
        InvalidConfiguration: The file cannot be read, is not of that form, or has no key.
    """
    if file is None:
        return None
    try:
        keys = tuple(_KEY_FILE.validate_json(file.read_bytes()).values())
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
    return keys


def authorize(keys: Iterable[ApiKey], token: str | None, scope: Scope) -> None:
    """Check that a caller's key is known and has a scope.

    Raises:
        Unauthenticated: There is no key, or it is not known.
        Forbidden: It is known, but does not have the scope.
    """
    if token is None:
        raise Unauthenticated("Send a key: 'Authorization: Bearer ...'.")
    digest = hashlib.sha256(token.encode()).hexdigest()
    # Every key is compared, in constant time, so that the time taken tells nothing of any of them.
    matches = [key for key in keys if hmac.compare_digest(key.sha256, digest)]
    if not matches:
        raise Unauthenticated("The key is not known.")
    if not any(scope in key.scopes for key in matches):
        raise Forbidden(f"The key does not have the scope {scope!r}.")


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
        keys: tuple[ApiKey, ...] | None = request.app.state.runtime.keys
        if keys is None and self._scope == "admin":
            raise Forbidden(
                "This needs an API key with the scope 'admin', and no keys are configured: "
                "see PNEUMO_API_KEYS_FILE."
            )
        if keys is None:
            return
        scheme, token = get_authorization_scheme_param(request.headers.get("authorization"))
        authorize(keys, token if scheme.lower() == "bearer" else None, self._scope)
