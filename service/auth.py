"""The dependency that asks a request for its key.

Source: RFC 6750 (bearer tokens).
"""

from fastapi import Request
from fastapi.security import HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param

from service.errors import Forbidden
from service.keys import Scope, authorize
from service.runtime import runtime_of


class Requires(HTTPBearer):
    """Lets a request pass where no keys are configured, or where its key has the scope.

    Without keys nobody is an admin: whoever reaches the port may ask, but change nothing.
    """

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
            Forbidden: It does not have the scope, or there are no keys and the scope is ``admin``.
        """
        keys = runtime_of(request).keys
        if keys is None and self._scope == "admin":
            raise Forbidden(
                "This needs an API key with the scope 'admin', and no keys are configured: "
                "see PNEUMO_API_KEYS_FILE."
            )
        if keys is None:
            return
        scheme, token = get_authorization_scheme_param(request.headers.get("authorization"))
        authorize(keys, token if scheme.lower() == "bearer" else None, self._scope)
