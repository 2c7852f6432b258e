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
"""Beginning of the ``gid`` of lines whose name the page shows."""

COORDINATE: Final = r'(?<=[ "(])-?\d+\.\d{2,6}(?=[ ")])'
"""Numbers in attributes; a number between tags is a word."""

N_DIGITS: Final = 1
"""Decimals of a coordinate in points."""

FONT: Final = "font: 10px system-ui, sans-serif"
"""Font of all words in a figure."""

REWRITTEN: Final = (
    # On the page, the style sheet would apply to all of it.
    (r"<defs>\s*<style.*?</style>\s*</defs>", ""),
    (r"font-family: [^;\"]*(?:; )?", ""),
    (r"font-size: 10px; ", ""),
    (rf'<g id="{LINE}([^"]*)">', r'<g class="line"><title>\1</title>'),
    # Only markers and clip paths are referred to.
    (r' id="(?![mp][0-9a-f]{10}")[^"]*"', ""),
    (r' transform="rotate\(-0 [^)]*\)"', ""),
    (r"stroke-dashoffset: 0; ", ""),
    (r"\n\s*L (?=[-\d])", ""),  # the L of a path may be left out
    (r"\s*\n\s*(?=[<\"])", ""),
    (r"<g/>", ""),
    (r"<g>(<text[^>]*>[^<]*</text>)</g>", r"\1"),
)
"""Patterns in matplotlib's SVG, and their replacements."""

ON_PAGE: Final = {TEXT: "var(--text)", MUTED: "var(--muted)", RULES: "var(--line)"}
"""Colours that the page replaces by its own, light or dark."""


def svg_file(figure: Figure) -> str:
    """The figure as an SVG file, on white."""
    return '<?xml version="1.0" encoding="utf-8"?>\n' + _svg(figure, "usam-cache") + "\n"


def page_svg(figure: Figure, name: str) -> Markup:
    """The figure as an element of the page with an ``id``, in the page's colours."""
    svg = _svg(figure, name, transparent=True).replace("<svg", f'<svg id="{name}"', 1)
    for colour, page_colour in ON_PAGE.items():
        svg = svg.replace(colour, page_colour)
    return Markup(svg)  # noqa: S704 - matplotlib escapes names


def _svg(figure: Figure, salt: str, **settings: Any) -> str:  # noqa: ANN401
    """The SVG element, without unused ids; the others follow from the content and the salt."""
    file = io.StringIO()
    # A date would change the bytes; without all four, matplotlib writes no metadata.
    no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata=no_metadata, **settings)
    written = file.getvalue()
    svg = written[written.index("<svg") :].strip()
    for pattern, text in REWRITTEN:
        svg = re.sub(pattern, text, svg, flags=re.DOTALL)
    svg = svg.replace("<svg", f'<svg style="{FONT}; stroke-linejoin: round"', 1)
    return re.sub(COORDINATE, _rounded, svg)


def _rounded(number: re.Match[str]) -> str:
    return f"{round(float(number[0]), N_DIGITS) + 0.0:g}"
