"""Figures of matplotlib as SVG, for the page and for files; equal figures give equal bytes."""

import io
import re
from typing import Any, Final

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

TEXT: Final = "#1f2328"
"""Colour of words."""

MUTED: Final = "#59636e"
"""Colour of numbers along an axis."""

RULES: Final = "#d8dee4"
"""Colour of lines behind the curves."""

LINE: Final = "line: "
"""Begins the ``gid`` of what has a name to show."""

COORDINATE: Final = r'(?<=[ "(])-?\d+\.\d{2,6}(?=[ ")])'
"""Never what stands between tags, where a number is a word."""

N_DIGITS: Final = 1
"""Decimals of a coordinate in points."""

FONT: Final = "font: 10px system-ui, sans-serif"
"""Of all words in a figure."""

REWRITTEN: Final = (
    # The style sheet would be that of the whole page.
    (r"<defs>\s*<style.*?</style>\s*</defs>", ""),
    (r"font-family: [^;\"]*(?:; )?", ""),
    (r"font-size: 10px; ", ""),
    (rf'<g id="{LINE}([^"]*)">', r'<g class="line"><title>\1</title>'),
    # Markers and clips are referred to; nothing else is.
    (r' id="(?![mp][0-9a-f]{10}")[^"]*"', ""),
    (r' transform="rotate\(-0 [^)]*\)"', ""),
    (r"stroke-dashoffset: 0; ", ""),
    (r"\n\s*L (?=[-\d])", ""),  # a path's line goes on without
    (r"\s*\n\s*(?=[<\"])", ""),
    (r"<g/>", ""),
    (r"<g>(<text[^>]*>[^<]*</text>)</g>", r"\1"),
)
"""What is rewritten in all that matplotlib writes."""

ON_PAGE: Final = {TEXT: "var(--text)", MUTED: "var(--muted)", RULES: "var(--line)"}
"""Colours that are the reader's, light or dark."""


def svg_file(figure: Figure) -> str:
    """A file of its own, on white."""
    return '<?xml version="1.0" encoding="utf-8"?>\n' + _svg(figure, "usam-cache") + "\n"


def page_svg(figure: Figure, name: str) -> Markup:
    """An element of the page, of this ``id``, on the page's ground and in the reader's colours."""
    svg = _svg(figure, name, transparent=True).replace("<svg", f'<svg id="{name}"', 1)
    for colour, of_reader in ON_PAGE.items():
        svg = svg.replace(colour, of_reader)
    return Markup(svg)  # noqa: S704 - matplotlib escapes names


def _svg(figure: Figure, salt: str, **settings: Any) -> str:  # noqa: ANN401
    """The element, without what nothing refers to; ids follow from the content and the salt."""
    file = io.StringIO()
    # A date would change the bytes; without any of the four there is no block of them.
    unsaid = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata=unsaid, **settings)
    written = file.getvalue()
    svg = written[written.index("<svg") :].strip()
    for pattern, text in REWRITTEN:
        svg = re.sub(pattern, text, svg, flags=re.DOTALL)
    svg = svg.replace("<svg", f'<svg style="{FONT}; stroke-linejoin: round"', 1)
    return re.sub(COORDINATE, _rounded, svg)


def _rounded(number: re.Match[str]) -> str:
    return f"{round(float(number[0]), N_DIGITS) + 0.0:g}"
