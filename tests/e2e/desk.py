"""The page as a reader uses it: what the tests do and see, without the page's inside."""

import base64
import re
import time
from collections.abc import Mapping, Sequence
from typing import cast

from playwright.sync_api import FilePayload, Locator, Page, Route, expect

Files = Mapping[str, bytes]
READ_TIMEOUT_MS = 60_000
HELD_TIMEOUT_SECONDS = 30
MIME = "application/octet-stream"
# A copy is read, so that the page's own canvas stays as the page made it.
DRAWN = """(() => {
    const canvas = document.querySelector('canvas.picture');
    const { width, height } = canvas;
    const context = new OffscreenCanvas(width, height).getContext('2d');
    context.drawImage(canvas, 0, 0);
    return { width, height, context };
})()"""


def settle(page: Page) -> None:
    """Wait until the picture, where there is one, is the same for five screen refreshes.

    A panel that opens narrows the stage, which is drawn again a few refreshes later.
    """
    page.evaluate(
        """async () => {
            const refresh = () => new Promise(done => requestAnimationFrame(done));
            const look = () => document.querySelector('canvas.picture')?.toDataURL();
            for (let same = 0, seen = look(); same < 5;) {
                await refresh();
                const now = look();
                same = now === seen ? same + 1 : 0;
                seen = now;
            }
        }"""
    )


class Held:
    """Requests of the page that wait until a test lets them go on."""

    def __init__(self, page: Page, url: str | re.Pattern[str]) -> None:
        self._page = page
        self._routes: list[Route] = []
        self._released = False
        page.route(url, self._take)

    def wait_for(self, count: int) -> Sequence[Route]:
        """Wait until at least so many requests are held, and give all that are."""
        deadline = time.monotonic() + HELD_TIMEOUT_SECONDS
        while len(self._routes) < count:
            assert time.monotonic() < deadline, f"{len(self._routes)} of {count} requests came"
            self._page.wait_for_timeout(20)
        return self._routes

    def release(self) -> None:
        """Let go on what is held, and what has been sent and is not held yet."""
        self._released = True
        for route in self._routes:
            route.continue_()

    def _take(self, route: Route) -> None:
        if self._released:
            route.continue_()
        else:
            self._routes.append(route)


class Desk:
    """The page in one browser tab."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url

    def open(self, where: str = "") -> "Desk":
        """Open the page, or one of its views."""
        self.page.goto(f"{self.url}/{where}")
        expect(self.page.get_by_text("Ready").or_(self.page.get_by_text("Listo"))).to_be_visible()
        return self

    def pick(self, files: Files) -> None:
        chosen = [
            FilePayload(name=name, mimeType=MIME, buffer=data) for name, data in files.items()
        ]
        self.page.locator("input[type=file][multiple]").first.set_input_files(chosen)

    def drop(self, files: Files) -> None:
        self._hand_over(files, "drop", "dataTransfer")

    def paste(self, files: Files) -> None:
        self._hand_over(files, "paste", "clipboardData")

    def row(self, name: str) -> Locator:
        return self.page.locator(".study", has_text=name)

    def select(self, name: str) -> None:
        self.row(name).get_by_role("button").first.click()

    @property
    def result(self) -> Locator:
        return self.page.get_by_role("region", name=re.compile("Result"))

    @property
    def decision(self) -> Locator:
        """The one word."""
        return self.page.locator(".decision-word")

    @property
    def heatmap_switch(self) -> Locator:
        """The button that shows and hides the heatmap."""
        return self.page.get_by_role("toolbar").get_by_role("button", name="Heatmap")

    @property
    def stage(self) -> Locator:
        """The radiograph."""
        return self.page.get_by_role("application")

    def read(self, files: Files) -> None:
        """Pick files and wait until the selected one is decided."""
        self.pick(files)
        expect(self.decision).to_be_visible(timeout=READ_TIMEOUT_MS)
        self.wait_for_picture()

    def wait_for_picture(self) -> None:
        expect(self.page.locator("canvas.picture")).to_be_visible(timeout=READ_TIMEOUT_MS)
        self.settle()

    def middle(self) -> tuple[float, float]:
        """Where the middle of the radiograph is on the page, x and y."""
        box = self.stage.first.bounding_box()
        assert box is not None
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def drag(self, x: float, y: float) -> None:
        """Drag from the middle of the radiograph, by so many pixels of the screen."""
        mouse, (start_x, start_y) = self.page.mouse, self.middle()
        mouse.move(start_x, start_y)
        mouse.down()
        mouse.move(start_x + x, start_y + y, steps=4)
        mouse.up()

    def tab_to(self, selector: str, most: int = 60) -> None:
        """Press the tab key until the focus is where it should be."""
        for _ in range(most):
            self.page.keyboard.press("Tab")
            if self.page.evaluate("(s) => document.activeElement?.matches(s)", selector):
                return
        raise AssertionError(f"the tab key does not reach {selector}")

    def settle(self) -> None:
        settle(self.page)

    def grays(self) -> list[int]:
        """The red channel of the middle row of the drawn radiograph."""
        self.settle()
        return cast(
            "list[int]",
            self.page.evaluate(
                f"""() => {{
                    const {{ width, height, context }} = {DRAWN};
                    const row = context.getImageData(0, height >> 1, width, 1).data;
                    return Array.from(row).filter((_, index) => index % 4 === 0);
                }}"""
            ),
        )

    def colours(self) -> int:
        """How many pixels of the drawn radiograph are coloured, as only the heatmap is."""
        self.settle()
        return cast(
            "int",
            self.page.evaluate(
                f"""() => {{
                    const {{ width, height, context }} = {DRAWN};
                    const {{ data }} = context.getImageData(0, 0, width, height);
                    let count = 0;
                    for (let at = 0; at < data.length; at += 4) {{
                        if (Math.abs(data[at] - data[at + 2]) > 12) count++;
                    }}
                    return count;
                }}"""
            ),
        )

    def names(self) -> Sequence[str]:
        """The studies that the page has drawn rows for."""
        return self.page.locator(".study-name").all_inner_texts()

    def _hand_over(self, files: Files, event: str, holder: str) -> None:
        encoded = {name: base64.b64encode(data).decode() for name, data in files.items()}
        self.page.evaluate(
            """async ([files, event, holder]) => {
                const transfer = new DataTransfer();
                for (const [name, data] of Object.entries(files)) {
                    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
                    transfer.items.add(new File([bytes], name));
                }
                const kind = holder === 'clipboardData' ? ClipboardEvent : DragEvent;
                const made = new kind(event, {
                    [holder]: transfer, bubbles: true, cancelable: true,
                });
                document.body.dispatchEvent(made);
            }""",
            [encoded, event, holder],
        )
