"""Clients as they come upload, and see each refusal of a body that they are still sending."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import httpx
import pytest
import requests

from service.settings import Settings
from tests.bundles import write_bundle
from tests.clients.conftest import HERE
from tests.integration.live import Live, key_of, serving

MIB = 1024 * 1024
KEY = "Bearer stock-key-0123456789"
NODE = """
const [url, file, key] = process.argv.slice(1);
import { readFileSync } from "node:fs";
const body = readFileSync(file);
const answer = await fetch(url, { method: "POST", body, headers: { Authorization: key } });
console.log(answer.status, await answer.text());
"""
Answer = tuple[int, str]
"""A status, and the body where the client shows it."""


def with_urllib(url: str, file: Path, key: str) -> Answer:
    request = urllib.request.Request(url, file.read_bytes(), {"Authorization": key})  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def with_requests(url: str, file: Path, key: str) -> Answer:
    with requests.Session() as session, file.open("rb") as body:
        session.trust_env = False
        answer = session.post(url, data=body, headers={"Authorization": key}, timeout=60)
        return answer.status_code, answer.text


def with_requests_as_a_form(url: str, file: Path, key: str) -> Answer:
    with requests.Session() as session, file.open("rb") as body:
        session.trust_env = False
        headers = {"Authorization": key}
        answer = session.post(url, files={"file": body}, headers=headers, timeout=60)
        return answer.status_code, answer.text


def with_httpx(url: str, file: Path, key: str) -> Answer:
    with file.open("rb") as body:
        files, headers = {"file": body}, {"Authorization": key}
        answer = httpx.post(url, files=files, headers=headers, timeout=60, trust_env=False)
    return answer.status_code, answer.text


def with_aiohttp(url: str, file: Path, key: str) -> Answer:
    async def post() -> Answer:
        async with aiohttp.ClientSession(headers={"Authorization": key}) as session:
            with file.open("rb") as body:
                async with session.post(url, data={"file": body}) as answer:
                    return answer.status, await answer.text()

    return asyncio.run(post())


def with_curl(url: str, file: Path, key: str, *arguments: str) -> Answer:
    headers = ("-H", f"Authorization: {key}")
    data = arguments or ("-F", f"file=@{file}")
    told = run("curl", "--http2", "--silent", "-w", "\n%{http_code}", *headers, *data, url)
    body, _, status = told.stdout.rpartition("\n")
    return int(status), body


def with_curl_that_waits_for_no_leave(url: str, file: Path, key: str) -> Answer:
    return with_curl(url, file, key, "-H", "Expect:", "--data-binary", f"@{file}")


def with_wget(url: str, file: Path, key: str) -> Answer:
    told = run(
        "wget", "--quiet", "--tries=1", "--server-response", "--content-on-error", "-O-",
        f"--header=Authorization: {key}", f"--post-file={file}", url, check=False,
    )  # fmt: skip
    (status,) = re.findall(r"^  HTTP/1.1 (\d+)", told.stderr, re.MULTILINE)
    return int(status), told.stdout


def with_node(url: str, file: Path, key: str) -> Answer:
    told = run("node", "--input-type=module", "-e", NODE, url, str(file), key).stdout
    status, _, body = told.partition(" ")
    return int(status), body


def with_java(url: str, file: Path, key: str) -> Answer:
    told = run("java", str(HERE / "java" / "Upload.java"), url, str(file), key).stdout
    status, _, body = told.partition("\n")
    return int(status), body


def run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=check,
        env=os.environ | {"no_proxy": "*"},
    )  # fmt: skip


def there(client: Callable[..., Answer], program: str) -> object:
    lacks = pytest.mark.skipif(shutil.which(program) is None, reason=f"there is no {program}")
    return pytest.param(client, marks=lacks)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("guarded")
    write_bundle(folder / "models", "tiny")
    keys = folder / "keys.json"
    keys.write_text(json.dumps({"stock": key_of(KEY.removeprefix("Bearer "), ["predict"])}))
    settings = Settings(
        models_dir=folder / "models",
        port=0,
        api_keys_file=keys,
        max_body_bytes=16 * MIB,
        max_files=1,
        queue_limit=1,
    )
    with serving(settings) as running:
        yield running


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that a connection does not hold, so that a client sends while it is refused."""
    file = tmp_path_factory.mktemp("files") / "large.bin"
    file.write_bytes(bytes(15 * MIB))
    return file


@pytest.fixture(scope="module")
def too_large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("files") / "too-large.bin"
    file.write_bytes(bytes(40 * MIB))
    return file


@pytest.mark.parametrize(
    "client",
    [
        with_urllib,
        with_requests,
        with_requests_as_a_form,
        with_httpx,
        with_aiohttp,
        there(with_curl, "curl"),
        there(with_curl_that_waits_for_no_leave, "curl"),
        there(with_wget, "wget"),
        pytest.param(with_node, marks=pytest.mark.clients),
        pytest.param(with_java, marks=pytest.mark.clients),
    ],
)
def test_a_stock_client_uploads_and_sees_what_is_refused(
    client: Callable[[str, Path, str], Answer],
    guarded: Live,
    image: Path,
    large: Path,
    too_large: Path,
) -> None:
    url = f"{guarded.client.base_url}/predict"

    answered = client(url, image, KEY)
    unknown = client(url, large, "Bearer of-nobody")
    over = client(url, too_large, KEY)
    with guarded.server.runtime.admission.admit(1):
        full = client(url, large, KEY)

    assert answered[0] == 200
    assert json.loads(answered[1])["results"][0]["status"] == "ok"
    assert [status for status, _ in (unknown, over, full)] == [401, 413, 429]
    # wget shows no body of a 401.
    assert not unknown[1] or slug(unknown) == "unauthenticated"
    assert [slug(over), slug(full)] == ["body-too-large", "queue-full"]


def slug(answer: Answer) -> str:
    return str(json.loads(answer[1])["type"]).removeprefix("/problems/")
