"""Access tokens of an OpenID provider, in place of API keys.

A backend fetches its token from the provider (client credentials, with a signed assertion as SMART
Backend Services has it) and sends it as a bearer token; this service checks it and asks nobody.

Source: RFC 9068 (JWT access tokens), OpenID Connect Discovery 1.0, SMART App Launch 2.2.
"""

import threading
import time
from collections.abc import Callable
from http.client import HTTPException
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import jwt
import orjson

from service.domain import Caller
from service.errors import ProblemType, ServiceError

# Asymmetric ones alone: with HS256 the public key would be the secret.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "ES256", "ES384", "EdDSA")
SKEW_S = 60
# Keys are fetched again after a while, and sooner for a key that is not known, but not at each try.
KEYS_AGE_S, LEAST_AGE_S = 300.0, 10.0
FETCH_S = 5
SCOPE_PREFIX = "pneumoscope/"
# What may be wrong with an answer of the provider, or with its way here.
_UNUSABLE = (OSError, HTTPException, AttributeError, KeyError, TypeError, ValueError)


class TokenVerifier:
    """Checks the tokens of one issuer; ``report`` is told why its keys could not be fetched.

    Safe on any thread.
    """

    def __init__(self, issuer: str, audience: str, report: Callable[[str], None]) -> None:
        self._issuer = issuer
        self._audience = audience
        self._report = report
        self._lock = threading.Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._due = self._tried = float("-inf")

    def verify(self, token: str) -> Caller:
        """Check signature, issuer, audience and times of a token, or raise ServiceError."""
        try:
            header = jwt.get_unverified_header(token)
            key = self._key(str(header.get("kid", "")))
            claims = jwt.decode(
                token,
                key.key,
                # The key says what it is for, so a token cannot choose a weaker algorithm.
                algorithms=[key.algorithm_name],
                audience=self._audience,
                issuer=self._issuer,
                leeway=SKEW_S,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.PyJWTError as error:
            raise ServiceError(
                ProblemType.UNAUTHENTICATED, f"The token does not count: {error}."
            ) from error
        # Of a machine the client, which is what an operator knows it by.
        subject = claims.get("client_id") or claims.get("azp") or claims.get("sub") or ""
        given = claims.get("scope") or claims.get("scp") or ""
        words = given.split() if isinstance(given, str) else map(str, given)
        scopes = (w.removeprefix(SCOPE_PREFIX) for w in words if w.startswith(SCOPE_PREFIX))
        return Caller(str(subject)[:200], frozenset(scopes))

    def _key(self, name: str) -> jwt.PyJWK:
        if name in self._keys and time.monotonic() <= self._due:
            return self._keys[name]
        # One asks the provider; who knows the key meanwhile does not wait for that.
        if self._lock.acquire(blocking=name not in self._keys):
            try:
                now = time.monotonic()
                wanted = now > self._due or name not in self._keys
                if wanted and now - self._tried > LEAST_AGE_S:
                    self._tried = now
                    self._fetch()
            finally:
                self._lock.release()
        if not self._keys:
            raise ServiceError(
                ProblemType.UNAVAILABLE, "The keys of the token's issuer cannot be had just now."
            )
        if name not in self._keys:
            raise ServiceError(
                ProblemType.UNAUTHENTICATED, "The token does not count: its key is not known."
            )
        return self._keys[name]

    def _fetch(self) -> None:
        """Fetch the keys; where that fails, those of before go on."""
        try:
            offered = _keys_of(self._issuer)
        except (*_UNUSABLE, jwt.PyJWTError) as error:
            self._report(str(error)[:200])
            return
        self._due = time.monotonic() + KEYS_AGE_S
        self._keys = {
            key.key_id: key
            for key in offered
            if key.key_id and key.algorithm_name in ALGORITHMS and key.public_key_use != "enc"
        }


def _keys_of(issuer: str) -> list[jwt.PyJWK]:
    provider = _get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if provider["issuer"] != issuer:
        raise ValueError("the document is of another issuer")
    return jwt.PyJWKSet.from_dict(_get(provider["jwks_uri"])).keys


def _get(url: str) -> Any:  # noqa: ANN401 - JSON
    if not url.startswith(("https://", "http://")):
        raise URLError("the address is not one of HTTP")
    with urlopen(url, timeout=FETCH_S) as answer:  # noqa: S310 - checked above
        return orjson.loads(answer.read(1 << 20))
