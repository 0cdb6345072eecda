import gzip
import http.client
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.gateway.stack import REPOSITORY, Service

ASSETS = REPOSITORY / "service" / "page" / "assets"
BUNDLE = "/models/bright-chest/versions/1"


def get(
    service: Service, path: str, headers: Mapping[str, str] | None = None, method: str = "GET"
) -> tuple[int, Mapping[str, str], bytes]:
    """Send a path as it stands: a URL library would tidy up what an attacker would not."""
    address = urlsplit(service.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in (headers or {}).items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, {k.lower(): v for k, v in response.getheaders()}, body


def test_the_page_forbids_what_it_does_not_need(service: Service) -> None:
    status, headers, body = get(service, "/")

    policy = headers["content-security-policy"]
    assert status == 200
    assert b"<!doctype html>" in body
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy
    assert "'unsafe-eval'" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-cache"


def test_the_page_that_a_browser_has_is_not_sent_again(service: Service) -> None:
    _, headers, _ = get(service, "/")

    status, _, body = get(service, "/", {"If-None-Match": headers["etag"]})

    assert (status, body) == (304, b"")


@pytest.mark.parametrize("asset", sorted(ASSETS.iterdir()), ids=lambda file: file.suffix)
def test_an_asset_is_kept_for_good_and_comes_compressed(service: Service, asset: Path) -> None:
    status, headers, body = get(service, f"/assets/{asset.name}", {"Accept-Encoding": "gzip, br"})

    plain = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
    assert status == 200
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert "wasm-unsafe-eval" in headers["content-security-policy"]
    assert plain == asset.read_bytes()
    assert len(body) <= len(plain)


@pytest.mark.parametrize(
    ("wish", "encoding"),
    [
        *((wish, "gzip") for wish in ("gzip", "br, gzip; q=0.5", "GZip;q=1.0")),
        *((wish, None) for wish in ("gzip;q=0", "gzip; q=0", "GZIP ; Q=0.000, br", "gzip;q=none")),
        ("gzip-like, identity", None),
    ],
)
def test_a_client_gets_gzip_where_it_takes_it(
    service: Service, wish: str, encoding: str | None
) -> None:
    _, headers, body = get(service, "/", {"Accept-Encoding": wish})

    assert headers.get("content-encoding") == encoding
    assert body.startswith(b"<!doctype html>") == (encoding is None)


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../sources.sha256",
        "/assets/%2e%2e/%2e%2e/package.json",
        "/assets/..%2fsources.sha256",
        "/assets/",
        "/assets/nothing.js",
        f"{BUNDLE}/figures/..%2fmanifest.json",
        f"{BUNDLE}/figures/../manifest.json",
        f"{BUNDLE}/figures/%2e%2e%2fmodel.onnx",
        f"{BUNDLE}/figures/manifest.json",
        f"{BUNDLE}/figures/nothing.png",
        "/models/..%2f/versions/1/card",
        "/models/bright-chest/versions/2/card",
        "/models/nothing/versions/1/figures",
    ],
)
def test_nothing_outside_is_reached(service: Service, path: str) -> None:
    status, headers, _ = get(service, path)

    assert status == 404
    assert headers["content-type"] == "application/problem+json"


def test_a_card_and_its_plots_are_served(service: Service) -> None:
    card_status, card_headers, card = get(service, f"{BUNDLE}/card")
    list_status, _, names = get(service, f"{BUNDLE}/figures")
    plot_status, plot_headers, plot = get(service, f"{BUNDLE}/figures/roc.png")

    assert (card_status, list_status, plot_status) == (200, 200, 200)
    assert card_headers["content-type"].startswith("text/markdown")
    assert card.startswith(b"# A model for tests")
    assert names == b'{"figures":["roc.png"]}'
    assert plot_headers["content-type"] == "image/png"
    assert plot.startswith(b"\x89PNG")


def test_a_probe_may_ask_for_headers_alone(service: Service) -> None:
    status, headers, body = get(service, "/", method="HEAD")

    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 300
