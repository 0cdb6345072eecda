"""Access tokens of a real OpenID provider: node oidc-provider, with signed client assertions."""

import json
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Self

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from service.errors import ProblemType
from service.oidc import SKEW_S, TokenVerifier
from tests.gateway.stack import free_port
from tests.refusals import refused

PROVIDER = Path(__file__).parent / "provider"
AUDIENCE = "urn:pneumoscope"


@dataclass
class Provider:
    port: int
    folder: Path
    client_key: ec.EllipticCurvePrivateKey
    process: subprocess.Popen[bytes] | None = None

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, key_name: str) -> None:
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.client_key.public_key()))
        jwks = self.folder / "client.json"
        jwks.write_text(json.dumps({"keys": [{**public, "kid": "pacs-1", "alg": "ES384"}]}))
        node = shutil.which("node")
        assert node is not None
        self.process = subprocess.Popen(
            [node, "provider.mjs", str(self.port), key_name, str(jwks)],
            cwd=PROVIDER,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self.process.stdout is not None
        assert b"listening" in self.process.stdout.readline()

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()

    def token(self, scope: str = "pneumoscope/predict", audience: str = AUDIENCE) -> str:
        """Fetch a token as SMART Backend Services has it."""
        endpoint = f"{self.issuer}/token"
        now = int(time.time())
        claims = {"iss": "pacs", "sub": "pacs", "aud": self.issuer, "exp": now + 60, "iat": now}
        assertion = jwt.encode(
            {**claims, "jti": str(uuid.uuid4())}, self.client_key, "ES384", {"kid": "pacs-1"}
        )
        answer = httpx.post(
            endpoint,
            data={
                "grant_type": "client_credentials",
                "scope": scope,
                "resource": audience,
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "client_assertion": assertion,
            },
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    if not (PROVIDER / "node_modules").is_dir():
        install = ["npm", "install", "--no-save", "--no-audit", "--no-fund"]
        subprocess.run(install, cwd=PROVIDER, check=True, capture_output=True)
    key = ec.generate_private_key(ec.SECP384R1())
    started = Provider(free_port(), tmp_path_factory.mktemp("provider"), key)
    started.start("first")
    yield started
    started.stop()


def verifier(provider: Provider) -> TokenVerifier:
    return TokenVerifier(provider.issuer, AUDIENCE, print)


def test_a_token_names_the_client_and_its_scopes(provider: Provider) -> None:
    subject = verifier(provider).verify(provider.token("pneumoscope/predict pneumoscope/read"))
    assert subject.name == "pacs"
    assert subject.scopes == {"predict", "read"}


def test_an_altered_token_does_not_count(provider: Provider) -> None:
    head, body, signature = provider.token().split(".")
    claims = json.loads(jwt.utils.base64url_decode(body))
    claims["scope"] = "pneumoscope/admin"
    forged = jwt.utils.base64url_encode(json.dumps(claims).encode()).decode()
    with refused(ProblemType.UNAUTHENTICATED, match="Signature"):
        verifier(provider).verify(f"{head}.{forged}.{signature}")


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS384"])
def test_a_token_cannot_choose_its_algorithm(provider: Provider, algorithm: str) -> None:
    claims = jwt.decode(provider.token(), options={"verify_signature": False})
    secret: object = "s" * 64
    if algorithm == "none":
        secret = None
    elif algorithm == "RS384":
        secret = rsa.generate_private_key(65537, 2048)
    forged = jwt.encode(claims, secret, algorithm, {"kid": "first"})  # type: ignore[arg-type]
    with refused(ProblemType.UNAUTHENTICATED):
        verifier(provider).verify(forged)


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "é.é.é", "x" * 9000])
def test_what_is_no_token_does_not_count(provider: Provider, text: str) -> None:
    with refused(ProblemType.UNAUTHENTICATED):
        verifier(provider).verify(text)


def test_a_token_out_of_date_counts_no_longer_than_clocks_may_differ(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = provider.token()
    expiry = jwt.decode(token, options={"verify_signature": False})["exp"]
    asked = verifier(provider)
    asked.verify(token)

    def at(moment: float) -> None:
        class Clock(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Self:
                return cls.fromtimestamp(moment, tz)

        monkeypatch.setattr("jwt.api_jwt.datetime", Clock)

    at(expiry + SKEW_S - 5)
    asked.verify(token)
    at(expiry + SKEW_S + 5)
    with refused(ProblemType.UNAUTHENTICATED, match="expired"):
        asked.verify(token)


def test_a_new_key_of_the_provider_is_fetched_and_an_old_one_forgotten(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = verifier(provider)
    old = provider.token()
    asked.verify(old)
    provider.stop()
    asked.verify(old)  # its key is known: nobody is asked
    provider.start("second")
    new = provider.token()
    with refused(ProblemType.UNAUTHENTICATED, match="not known"):
        asked.verify(new)  # it has just looked, and does not look again at every try
    monkeypatch.setattr("service.oidc.LEAST_AGE_S", 0.0)
    asked.verify(new)
    with refused(ProblemType.UNAUTHENTICATED, match="not known"):
        asked.verify(old)


def test_keys_that_are_out_of_date_go_on_while_the_provider_is_away(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[str] = []
    asked = TokenVerifier(provider.issuer, AUDIENCE, reported.append)
    token = provider.token()
    monkeypatch.setattr("service.oidc.KEYS_AGE_S", 0.0)
    monkeypatch.setattr("service.oidc.LEAST_AGE_S", 0.0)
    asked.verify(token)
    provider.stop()
    try:
        assert not reported
        assert asked.verify(token).name == "pacs"
        # It has looked, for the keys were out of date, and found nobody.
        assert len(reported) == 1
    finally:
        provider.start("third")
    asked.verify(provider.token())
    with refused(ProblemType.UNAUTHENTICATED, match="not known"):
        asked.verify(token)


def test_without_the_provider_or_of_another_issuer_nothing_can_be_said_of_a_token(
    provider: Provider,
) -> None:
    token = provider.token()
    nobody = TokenVerifier(f"http://127.0.0.1:{free_port()}", AUDIENCE, print)
    # Its document is of another issuer, by a slash.
    other = TokenVerifier(f"{provider.issuer}/", AUDIENCE, print)
    for each in (nobody, other):
        with refused(ProblemType.UNAVAILABLE):
            each.verify(token)
