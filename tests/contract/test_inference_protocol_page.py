"""What docs/inference-protocol.md shows is run as it stands."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.routing import APIRoute

from service.routes.v2 import PATHS_OF_A_MODEL, of_model, router
from service.settings import Settings
from tests.integration.live import Live, serving

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "inference-protocol.md").read_text()
MODEL = "xray-four-class"
IMAGE = ROOT / "docs" / "synthetic-radiograph.jpeg"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("models")
    (folder / MODEL).symlink_to(ROOT / "models" / MODEL)
    with serving(Settings(models_dir=folder, provider="cpu", precision="fp32", port=0)) as running:
        yield running


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_python_examples_run(live: Live) -> None:
    address = f"127.0.0.1:{live.server.port}"
    code = "\n".join(blocks("python")).replace("localhost:8000", address)
    names: dict[str, Any] = {}

    exec(code.replace("chest.jpeg", str(IMAGE)), names)  # noqa: S102 - it is our own page
    names["client"].close()

    assert names["probabilities"].shape == (1, 4)
    assert names["probabilities"].sum() == pytest.approx(1, abs=1e-5)
    assert names["result"].as_numpy("logits") is None
    assert names["logits"].shape == (2, 4)
    np.testing.assert_array_equal(*names["logits"])


def test_the_json_example_gets_such_an_answer(live: Live) -> None:
    request, shown = map(json.loads, blocks("json"))
    request["inputs"][0]["data"] = [base64.b64encode(IMAGE.read_bytes()).decode()]

    answer = live.client.post(f"/v2/models/{MODEL}/infer", json=request).json()

    for output, expected in zip(answer["outputs"], shown["outputs"], strict=True):
        assert len(output.pop("data")) == len(expected.pop("data"))
    assert answer == shown


def test_the_page_names_every_route_and_no_other() -> None:
    routes = set(re.findall(r"`(?:GET|POST) (/v2[^`]*)`", PAGE))
    served = {route.path for route in router.routes if isinstance(route, APIRoute)} | {
        router.prefix + path + route.path
        for path in PATHS_OF_A_MODEL
        for route in of_model.routes
        if isinstance(route, APIRoute)
    }

    named = {
        path
        for route in routes
        for path in (re.sub(r"\[.*?\]", "", route), route.replace("[", "").replace("]", ""))
    }
    assert named == served
