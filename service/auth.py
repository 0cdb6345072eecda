"""The dependency that asks a request for its key.

Source: RFC 6750 (bearer tokens).
"""

from fastapi import Request
from fastapi.security import HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param

from service.keys import Scope, authorize
from service.runtime import runtime_of


class Requires(HTTPBearer):
    """Lets a request pass where no keys are configured, or where its key has the scope."""

    def __init__(self, scope: Scope) -> None:
        """Choose the scope."""
        super().__init__(
            scheme_name="ApiKey",
            description="Needed only where the operator has configured keys.",
        )
        self._scope = scope

    async def __call__(self, request: Request) -> None:  # type: ignore[override]
        """Check the key.

        Raises:
            Unauthenticated: There is no key, or it is not known.
            Forbidden: It does not have the scope.
        """
        keys = runtime_of(request).keys
        if keys is None:
            return
        scheme, token = get_authorization_scheme_param(request.headers.get("authorization"))
        authorize(keys, token if scheme.lower() == "bearer" else None, self._scope)
