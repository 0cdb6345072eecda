import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)

from contract.manifest import MANIFEST_FILE, Metric, read_manifest
from tests.bundles import write_bundle
from tests.e2e.desk import Desk
from tests.gateway import stack
from tests.gateway.stack import Service
from tests.integration.live import key_of

BROWSER_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
KEY = "a-key-for-the-tests-of-this-page"
KEY_WITHOUT_READ = "a-key-for-the-tests-that-may-not-read"
# The browser's own line for an answer that is no success; a test that asks for one expects it.
REFUSAL = "Failed to load resource"
# A machine that trains a model at the same time is slow; a wrong page is wrong all the same.
PATIENCE_MS = 30_000
CARD = """# A model for tests

It tells **bright** images from dark ones.

| Set | AUROC |
|---|---|
| synthetic | 1.0 |

- Not a medical device. Nobody has shown that using it
  helps a patient.
- Never for patients
- `fixed` for tests, as [its page](https://example.org/tests) and [a file](../other.md) say

![a stray word](figures/roc.png)

<script>document.title = "taken over"</script>
"""


@dataclass
class Watch:
    """What a tab did that it should not have done."""

    origin: str
    gateway: str | None = None
    expects_refusals: bool = False
    complaints: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def on_console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        kind = self.refusals if message.text.startswith(REFUSAL) else self.complaints
        kind.append(message.text)

    def on_request(self, url: str) -> None:
        allowed = (self.origin, f"blob:{self.origin}", "data:", *filter(None, [self.gateway]))
        if not url.startswith(allowed):
            self.complaints.append(f"a request to another host: {url}")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, modalities in (("bright-chest", ("CR", "DX")), ("bright-slice", ("CT",))):
        bundle = write_bundle(folder, name, modalities=modalities)
        _add_figures(bundle)
        (bundle / "model-card.md").write_text(CARD)
        _draw_plot(bundle / "figures" / "roc.png")
    return folder


def _add_figures(bundle: Path) -> None:
    """Of 40 held-out images with pneumonia 36 are called so, and 12 others with them."""
    manifest = read_manifest(bundle)
    measured = (("sensitivity", 0.9, 100), ("precision", 0.75, 100), ("refer_share", 0.1, 40))
    figures = (
        Metric(
            dataset="synthetic",
            name=name,
            value=value,
            lower=value - 0.1,
            upper=value + 0.1,
            images=images,
            label="pneumonia",
        )
        for name, value, images in measured
    )
    described = manifest.model_copy(update={"metrics": (*manifest.metrics, *figures)})
    (bundle / MANIFEST_FILE).write_text(described.model_dump_json(indent=2))


def _draw_plot(file: Path) -> None:
    file.parent.mkdir()
    plot = Image.new("L", (320, 240), 255)
    ImageDraw.Draw(plot).line([(20, 220), (60, 60), (300, 20)], fill=0, width=3)
    plot.save(file)


@pytest.fixture(scope="session")
def service(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with stack.service(
        tmp_path_factory.mktemp("service"), PNEUMO_MODELS_DIR=str(models)
    ) as running:
        yield running


@pytest.fixture(scope="session")
def shipped_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with the models that ship."""
    with stack.service(tmp_path_factory.mktemp("shipped")) as running:
        yield running


@pytest.fixture(scope="session")
def strict_service(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that takes one image at a time, and only with ``KEY``."""
    folder = tmp_path_factory.mktemp("strict")
    file = folder / "keys.json"
    keys = {"full": key_of(KEY, ["predict", "read"]), "half": key_of(KEY_WITHOUT_READ, ["predict"])}
    file.write_text(json.dumps(keys))
    with stack.service(
        folder,
        PNEUMO_MODELS_DIR=str(models),
        PNEUMO_API_KEYS_FILE=str(file),
        PNEUMO_MAX_FILES="1",
        PNEUMO_QUEUE_LIMIT="1",
    ) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is absent: apt-get install chromium, or set CHROMIUM to its path")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=chromium, args=list(BROWSER_ARGUMENTS)
        )
        yield launched
        launched.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
    made.set_default_timeout(PATIENCE_MS)
    yield made
    made.close()


@pytest.fixture
def watch(service: Service) -> Watch:
    return Watch(service.url)


@pytest.fixture
def refusals_expected(watch: Watch) -> None:
    watch.expects_refusals = True


@pytest.fixture
def tab(context: BrowserContext, watch: Watch) -> Iterator[Page]:
    page = context.new_page()
    page.on("console", watch.on_console)
    page.on("pageerror", lambda error: watch.complaints.append(str(error)))
    page.on("request", lambda sent: watch.on_request(sent.url))
    yield page
    assert watch.complaints == []
    if not watch.expects_refusals:
        assert watch.refusals == []


@pytest.fixture
def visit(tab: Page, watch: Watch) -> Callable[[Service], Desk]:
    """What takes the tab to a service, without opening its page."""

    def taken(service: Service) -> Desk:
        watch.origin = service.url
        return Desk(tab, service.url)

    return taken


@pytest.fixture
def closed(visit: Callable[[Service], Desk], service: Service) -> Desk:
    """A desk whose page is not open yet."""
    return visit(service)


@pytest.fixture
def desk(closed: Desk) -> Desk:
    return closed.open()
