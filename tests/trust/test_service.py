"""Audit, feedback, tokens, rates and TLS, by a service on a real port."""

import base64
import hashlib
import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pytest

from service import protocol
from service.audit import verify
from tests.bundles import SIZE, write_bundle
from tests.gateway.stack import Database
from tests.integration.live import JPEG, Live, eventually, key_of, problem, process, serving_models
from tests.synthetic import as_jpeg, synthetic_radiograph
from tests.trust.conftest import answers, fresh_database, rows
from tests.trust.test_oidc import AUDIENCE, Provider, provider

__all__ = ["provider"]
RADIOGRAPH = as_jpeg(synthetic_radiograph(300, 400))
NEW_KEY = ["-newkey", "rsa:2048", "-nodes"]
KEYS = {"pacs": ["predict", "read"], "reader": ["feedback"], "boss": ["admin"]}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def key_file(**limits: dict[str, int]) -> str:
    return json.dumps(
        {name: key_of(name, scopes, **limits.get(name, {})) for name, scopes in KEYS.items()}
    )


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for version in (1, 2):
        write_bundle(folder, "tiny", version)
    return folder


@dataclass
class Audited:
    live: Live
    url: str
    seen: set[object] = field(default_factory=set)

    def new_records(self) -> list[dict[str, object]]:
        new = [row for row in rows(self.url) if row["hash"] not in self.seen]
        self.seen |= {row["hash"] for row in new}
        return [row for row in new if row["action"] != "start"]


@pytest.fixture
def audited(models: Path, audit_url: str) -> Iterator[Audited]:
    with serving_models(models, api_keys=key_file(), audit_url=audit_url) as live:
        yield Audited(live, audit_url)


def predict(live: Live, *bodies: bytes, key: str = "pacs") -> httpx.Response:
    files = [("file", (f"{n}.jpg", body, "image/jpeg")) for n, body in enumerate(bodies)]
    return live.client.post("/predict", files=files, headers=bearer(key))


def test_each_image_of_an_answer_is_in_the_trail_with_who_asked(audited: Audited) -> None:
    answer = predict(audited.live, RADIOGRAPH, b"no image")
    body = answer.json()
    read, refused = audited.new_records()
    assert read["answer_id"] == refused["answer_id"] == body["id"]
    assert read["request_id"] == answer.headers["x-request-id"]
    assert (read["caller"], read["peer"], read["action"]) == ("pacs", "127.0.0.1", "predict")
    assert read["input"] == hashlib.sha256(RADIOGRAPH).hexdigest()
    assert (read["model"], read["digest"]) == ("tiny/2", body["model"]["digest"])
    assert read["outcome"] == body["results"][0]["decision"]
    assert (refused["outcome"], refused["digest"]) == ("not-an-image", "")
    assert list(verify(audited.url)) == []


def test_each_image_of_an_inference_request_is_in_the_trail(audited: Audited) -> None:
    files = [RADIOGRAPH, as_jpeg(synthetic_radiograph(300, 400, seed=7))]
    data = [base64.b64encode(file).decode() for file in files]
    pixels = np.arange(2 * SIZE**2, dtype=np.uint8).reshape(2, SIZE, SIZE, 1)
    tensors = [
        {"name": "image", "datatype": "BYTES", "shape": [2], "data": data},
        {"name": "image", "datatype": "UINT8", "shape": [*pixels.shape], "data": pixels.tolist()},
    ]

    for tensor in tensors:
        answer = audited.live.client.post(
            "/v2/models/tiny/infer", json={"inputs": [tensor]}, headers=bearer("pacs")
        )
        assert answer.is_success, answer.text

    records = audited.new_records()
    inputs = [
        hashlib.sha256(each).hexdigest()
        for each in (*files, *(image.tobytes() for image in pixels))
    ]
    assert [row["input"] for row in records] == inputs
    assert {(row["caller"], row["model"], row["outcome"]) for row in records} == {
        ("pacs", "tiny/2", "outputs")
    }


def test_a_file_that_cannot_be_read_and_what_changes_the_models_are_in_the_trail(
    audited: Audited,
) -> None:
    assert problem(predict(audited.live, b"no image"))[0] == 422
    for change in ("reload", "tiny/versions/2/unload", "tiny/versions/2/load"):
        done = audited.live.client.post(f"/models/{change}", headers=bearer("boss"))
        assert done.is_success

    refused, *changes = audited.new_records()
    assert refused["outcome"] == "not-an-image"
    assert [(row["action"], row["caller"], row["model"], row["outcome"]) for row in changes] == [
        ("reload", "boss", "", "asked"),
        ("reload", "boss", "", ""),
        ("unload", "boss", "tiny/2", "asked"),
        ("unload", "boss", "tiny/2", "-tiny/2"),
        ("load", "boss", "tiny/2", "asked"),
        ("load", "boss", "tiny/2", "+tiny/2"),
    ]
    assert list(verify(audited.url)) == []


def test_a_reader_agrees_or_corrects_by_code(audited: Audited) -> None:
    answered = predict(audited.live, RADIOGRAPH).json()
    labels = [each["label"] for each in answered["results"][0]["findings"]]
    address = f"/feedback/{answered['id']}"
    client = audited.live.client
    agreed = client.post(address, json={}, headers=bearer("reader")).json()
    assert (agreed["verdict"], agreed["model"]) == ("agree", "tiny/2")
    other = next(label for label in labels if label != agreed["decision"])
    corrected = client.post(address, json={"finding": other}, headers=bearer("reader")).json()
    assert corrected["verdict"] == "correct"
    outcomes = [row["outcome"] for row in audited.new_records() if row["action"] == "feedback"]
    assert outcomes == [agreed["decision"], f"correct:{other}"]
    metrics = client.get("/metrics", headers=bearer("pacs")).text
    line = 'pneumoscope_feedback_total{model="tiny",verdict="correct",version="2"} 1.0'
    assert line in metrics


def test_agreement_counts_the_last_word_of_each_reader_on_each_image(audited: Audited) -> None:
    client, reader = audited.live.client, bearer("reader")
    assert client.get("/feedback", headers=reader).json() == {"models": []}
    first, second = (predict(audited.live, RADIOGRAPH).json() for _ in range(2))
    [result] = first["results"]
    other = next(f["label"] for f in result["findings"] if f["label"] != result["decision"])
    for answer, finding in ((first, None), (second, None), (second, other), (first, other)):
        body = {"finding": finding} if finding else {}
        client.post(f"/feedback/{answer['id']}", json=body, headers=reader)
    client.post(f"/feedback/{first['id']}", json={}, headers=reader)

    models = client.get("/feedback", headers=reader).json()["models"]

    assert models == [{"name": "tiny", "version": 2, "agreed": 1, "corrected": 1}]
    assert problem(client.get("/feedback", headers=bearer("pacs"))) == (403, "forbidden")
    assert client.get("/health").json()["feedback"] is True


@pytest.mark.parametrize(
    ("body", "key", "status", "slug"),
    [
        (b"{}", "pacs", 403, "forbidden"),
        (b'{"finding": "no such finding"}', "reader", 422, "invalid-parameter"),
        (b'{"image": 7}', "reader", 404, "unknown-answer"),
        (b'{"text": "in my opinion"}', "reader", 422, "invalid-parameter"),
        (b"\xff", "reader", 422, "invalid-parameter"),
    ],
)
def test_feedback_that_cannot_be_taken_says_why(
    audited: Audited, body: bytes, key: str, status: int, slug: str
) -> None:
    answered = predict(audited.live, RADIOGRAPH).json()
    address = f"/feedback/{answered['id']}"
    headers = {**bearer(key), "Content-Type": "application/json"}

    answer = audited.live.client.post(address, content=body, headers=headers)

    assert problem(answer) == (status, slug)
    if b"finding" in body:
        assert answer.json()["detail"].startswith("finding: Input should be ")
        assert "None" not in answer.json()["detail"]


def test_without_a_trail_there_is_no_feedback(models: Path) -> None:
    with serving_models(models) as live:
        address = "/feedback/00000000-0000-0000-0000-000000000000"
        assert problem(live.client.post(address, json={})) == (409, "no-audit-trail")
        assert problem(live.client.get("/feedback")) == (409, "no-audit-trail")
        assert live.client.get("/health").json()["feedback"] is False


def test_nothing_is_answered_while_the_trail_cannot_be_written(
    models: Path, postgres: Database
) -> None:
    url = fresh_database(postgres)
    with serving_models(models, audit_url=url) as live:
        assert live.predict(RADIOGRAPH).status_code == 200
        postgres.kill()
        try:
            assert problem(live.predict(RADIOGRAPH)) == (503, "audit-unavailable")
            assert live.client.get("/health/live").status_code == 200
        finally:
            postgres.start()
        eventually(lambda: live.predict(RADIOGRAPH).status_code == 200)
    assert list(verify(url)) == []


def test_it_goes_on_without_the_database_where_it_may(models: Path, postgres: Database) -> None:
    url = fresh_database(postgres)
    with serving_models(models, audit_url=url, audit_failure="go-on") as live:
        postgres.kill()
        try:
            ids = [live.predict(RADIOGRAPH).json()["id"] for _ in range(3)]
        finally:
            postgres.start()
    assert set(ids) <= set(answers(url))


def test_what_was_answered_before_a_kill_is_in_the_trail(models: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'audit.db'}"
    with process(models, PNEUMO_AUDIT_URL=url) as running:
        ids = [running.post(content=RADIOGRAPH).json()["id"] for _ in range(20)]
        running.popen.kill()
        running.popen.wait()
    assert set(ids) <= set(answers(url))
    assert list(verify(url)) == []


def test_two_workers_write_a_chain_each_into_one_trail(models: Path, audit_url: str) -> None:
    def ask(_: int) -> str:
        return str(running.post(content=RADIOGRAPH).raise_for_status().json()["id"])

    with process(models, workers=2, PNEUMO_AUDIT_URL=audit_url) as running:
        # Until each worker has had some: the kernel deals out connections.
        ids: list[str] = []

        def chains() -> int:
            with ThreadPoolExecutor(8) as pool:
                ids.extend(pool.map(ask, range(40)))
            return len({row["chain"] for row in rows(audit_url) if row["action"] == "predict"})

        eventually(lambda: chains() == 2)
    assert set(ids) <= set(answers(audit_url))
    assert list(verify(audit_url)) == []


def test_a_token_of_the_provider_opens_what_its_scopes_say(
    models: Path, provider: Provider
) -> None:
    with serving_models(
        models, oidc_issuer=provider.issuer, oidc_audience=AUDIENCE, api_keys=key_file()
    ) as live:
        token = bearer(provider.token("pneumoscope/predict"))
        assert live.client.post("/predict", content=RADIOGRAPH, headers=token | JPEG).is_success
        assert problem(live.client.get("/models", headers=token)) == (403, "forbidden")
        assert problem(live.client.get("/models")) == (401, "unauthenticated")
        forged = bearer(provider.token(audience="urn:other"))
        assert problem(live.client.get("/models", headers=forged)) == (401, "unauthenticated")
        # A key opens the same door.
        assert live.client.get("/models", headers=bearer("pacs")).is_success


def test_a_caller_that_asks_too_often_is_told_when_to_come_back(models: Path) -> None:
    with serving_models(
        models, api_keys=key_file(pacs={"per_minute": 3}), rate_per_minute=1000
    ) as live:
        for _ in range(3):
            assert live.client.get("/models", headers=bearer("pacs")).is_success
        refused = live.client.get("/models", headers=bearer("pacs"))
        assert problem(refused) == (429, "rate-exceeded")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        other = live.client.post("/models/reload", headers=bearer("boss"))
        assert other.is_success


@dataclass
class Authority:
    folder: Path

    def sign(self, name: str, subject: str = "localhost") -> tuple[Path, Path]:
        """A certificate of this authority, and its key."""
        key, request, certificate = (self.folder / f"{name}.{end}" for end in ("key", "csr", "crt"))
        names = ["-subj", f"/CN={subject}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        _openssl("req", *NEW_KEY, "-keyout", key, "-out", request, *names)
        signer = ["-CA", self.folder / "ca.crt", "-CAkey", self.folder / "ca.key"]
        how = ["-CAcreateserial", "-days", "2", "-copy_extensions", "copy"]
        _openssl("x509", "-req", "-in", request, *signer, *how, "-out", certificate)
        return certificate, key


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("authority")
    files = ["-keyout", folder / "ca.key", "-out", folder / "ca.crt"]
    _openssl("req", "-x509", *NEW_KEY, "-days", "2", "-subj", "/CN=Authority", *files)
    return Authority(folder)


def test_it_speaks_https_and_takes_a_new_certificate_into_use(
    models: Path, authority: Authority, tmp_path: Path
) -> None:
    first, second = authority.sign("first"), authority.sign("second")
    certificate, key = tmp_path / "server.crt", tmp_path / "server.key"

    def put(pair: tuple[Path, Path]) -> None:
        certificate.write_bytes(pair[0].read_bytes())
        key.write_bytes(pair[1].read_bytes())

    put(first)
    with serving_models(models, tls_certificate=certificate, tls_key=key) as live:
        trusted = ssl.create_default_context(cafile=authority.folder / "ca.crt")
        port = live.server.port
        answer = httpx.post(
            f"https://localhost:{port}/predict", content=RADIOGRAPH, headers=JPEG, verify=trusted
        )
        assert answer.status_code == 200
        before = ssl.get_server_certificate(("localhost", port))
        put(second)
        eventually(lambda: ssl.get_server_certificate(("localhost", port)) != before)
        for version, spoken in (("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)):
            command = ["openssl", "s_client", "-connect", f"localhost:{port}", version]
            ended = subprocess.run(command, input=b"", capture_output=True, check=False)
            assert (b"Cipher is (NONE)" not in ended.stdout) == spoken, version


def test_a_connection_on_which_no_handshake_comes_is_closed(
    models: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 1.0)
    certificate, key = authority.sign("silent")
    with serving_models(models, tls_certificate=certificate, tls_key=key) as live:
        address = "localhost", live.server.port
        with socket.create_connection(address, timeout=20) as connection:
            assert connection.recv(1) == b""


def test_where_callers_must_show_a_certificate_others_get_no_connection(
    models: Path, authority: Authority
) -> None:
    server, client = authority.sign("server"), authority.sign("client", "pacs")
    with serving_models(
        models,
        tls_certificate=server[0],
        tls_key=server[1],
        tls_client_authorities=authority.folder / "ca.crt",
    ) as live:
        address = f"https://localhost:{live.server.port}/health"
        trusted = ssl.create_default_context(cafile=authority.folder / "ca.crt")
        with pytest.raises(httpx.TransportError):
            httpx.get(address, verify=trusted)
        trusted.load_cert_chain(*client)
        assert httpx.get(address, verify=trusted).status_code == 200
