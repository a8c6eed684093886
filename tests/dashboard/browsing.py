"""What the tests do with a page in the browser."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WIDTHS = {"light": 1280, "dark": 1280, "phone": 360}
READY = "html[data-ready]"

KEYED = """() => [...document.querySelectorAll('[data-key]')].map(
    (mark) => [mark.dataset.key, mark.dataset.value, mark.dataset.xKey ?? null, mark.dataset.x ?? null])"""


@contextmanager
def opened(browser: Any, path: Path, mode: str = "light") -> Iterator[Any]:
    """A page in a fresh window; at the end there must have been no error, no warning, and no request but for files."""
    messages: list[str] = []
    context = browser.new_context(viewport={"width": WIDTHS[mode], "height": 800}, has_touch=mode == "phone",
                                  color_scheme="dark" if mode == "dark" else "light")
    page = context.new_page()
    page.on("console", lambda message: messages.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: messages.append(f"error: {error}"))
    page.on("request", lambda request: None if request.url.startswith(("file:", "data:"))
            else messages.append(f"request: {request.url}"))
    try:
        page.goto(path.as_uri())
        page.wait_for_selector(READY, state="attached", timeout=20_000)
        yield page
        assert messages == []
    finally:
        context.close()


def load_seconds(browser: Any, path: Path) -> float:
    """Seconds from asking for a page until it has drawn itself; the best of three, as the machine may be busy."""
    times = []
    for _ in range(3):
        begin = time.monotonic()
        with opened(browser, path):
            times.append(time.monotonic() - begin)
    return min(times)


def value_at(report: Any, key: str) -> Any:
    """The value of a report at a path such as ``steps/3/cycles``."""
    for part in key.split("/"):
        report = report[int(part)] if isinstance(report, list) else report[part]
    return report


def check_values(page: Any, report: dict[str, Any]) -> int:
    """Every value on the page that names its place in the report equals it; returns how many there are."""
    found = page.evaluate(KEYED)
    for key, value, x_key, x in found:
        assert json.loads(value) == value_at(report, key), key
        if x_key is not None:
            assert json.loads(x) == value_at(report, x_key), x_key
    return len(found)


def charts(page: Any) -> set[str]:
    """Names of the charts on a page that are visible and have a size."""
    return set(page.evaluate("""() => [...document.querySelectorAll('[data-chart]')].filter((chart) => {
        const box = chart.getBoundingClientRect(); return box.width > 20 && box.height > 10; })
        .map((chart) => chart.dataset.chart)"""))


def tip(page: Any) -> str:
    """What the tooltip says, empty when it is hidden."""
    return page.evaluate(
        "() => { const tip = document.getElementById('tip'); return tip.hidden ? '' : tip.textContent; }"
    )
