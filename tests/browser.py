"""A real browser without a window: what it shows of a page, and what it says on its console."""

import html
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")

TIMEOUT_S: Final = 120.0

FLAGS: Final = (
    "--headless",
    "--no-sandbox",  # root, as in a container, may not use it
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--virtual-time-budget=20000",  # of the page's own clock: all that it waits for is done by then
    "--window-size=1400,1000",
    "--dump-dom",
)

# A window cannot be as narrow as a phone; a frame can, and the page's media queries follow it.
FRAME: Final = """<!DOCTYPE html>
<pre id="told"></pre>
<script>addEventListener("message", (event) => {{ told.textContent = event.data; }});</script>
<iframe src="{page}" style="width: {width_px}px; height: 900px; border: 0"></iframe>
"""

PROBE: Final = """<script>
addEventListener("load", async () => {{
  parent.postMessage(JSON.stringify(await ({question})()), "*");
}});
</script>
</body>"""


@dataclass(frozen=True)
class Seen:
    """A page in a browser."""

    answer: Any
    """Of the question."""
    console: list[str]
    """Lines that the page wrote."""


def find_browser() -> str:
    """The browser, or a skipped test where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser: install one of {', '.join(NAMES)} to look at the page")
    return found


def look_at(page: Path, question: str, folder: Path, *, width_px: int, is_dark: bool) -> Seen:
    """Open a page and ask it a question.

    Parameters
    ----------
    question
        An async function of JavaScript without arguments, called when all is loaded.
    folder
        For the browser's own files.
    """
    browser = find_browser()
    copy, frame = folder / "page.html", folder / "frame.html"
    text = page.read_text("utf-8")
    assert text.count("</body>") == 1
    copy.write_text(text.replace("</body>", PROBE.format(question=question)), "utf-8")
    frame.write_text(FRAME.format(page=copy.name, width_px=width_px), "utf-8")
    scheme = f"--blink-settings=preferredColorScheme={0 if is_dark else 1}"
    done = subprocess.run(
        [browser, *FLAGS, scheme, f"--user-data-dir={folder / 'profile'}", frame.as_uri()],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    told = re.search(r'<pre id="told">(.+?)</pre>', done.stdout, re.DOTALL)
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    assert told, "\n".join(["the page must answer, its console said:", *console])
    return Seen(json.loads(html.unescape(told[1])), console)
