"""Writes figures of matplotlib as SVG, for the page and as files; equal figures, equal bytes."""

import io
import re
from typing import Any, Final

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

TEXT: Final = "#1f2328"
"""Colour of titles and labels in a figure."""

MUTED: Final = "#59636e"
"""Colour of the numbers along the axes and of the names of the axes."""

RULES: Final = "#d8dee4"
"""Colour of the grid lines behind the curves."""

LINE: Final = "line: "
"""Prefix of the ``gid`` (id in matplotlib) of lines; the rest is the name that the page shows."""

COORDINATE: Final = r'(?<=[ "(])-?\d+\.\d{2,6}(?=[ ")])'
"""Pattern of coordinates in attributes of the SVG; numbers between tags, as labels, are left."""

N_DIGITS: Final = 1
"""Number of decimals of a coordinate, in points."""

FONT: Final = "font: 10px system-ui, sans-serif"
"""CSS font of all texts in a figure."""

REWRITTEN: Final = (
    # On the page, matplotlib's style sheet would apply to the whole page.
    (r"<defs>\s*<style.*?</style>\s*</defs>", ""),
    (r"font-family: [^;\"]*(?:; )?", ""),
    (r"font-size: 10px; ", ""),
    (rf'<g id="{LINE}([^"]*)">', r'<g class="line"><title>\1</title>'),
    # Only the ids of markers (m...) and clip paths (p...) are referred to.
    (r' id="(?![mp][0-9a-f]{10}")[^"]*"', ""),
    (r' transform="rotate\(-0 [^)]*\)"', ""),
    (r"stroke-dashoffset: 0; ", ""),
    (r"\n\s*L (?=[-\d])", ""),  # the L of a path may be left out
    (r"\s*\n\s*(?=[<\"])", ""),
    (r"<g/>", ""),
    (r"<g>(<text[^>]*>[^<]*</text>)</g>", r"\1"),
)
"""Patterns in matplotlib's SVG, and the shorter texts that replace them."""

ON_PAGE: Final = {TEXT: "var(--text)", MUTED: "var(--muted)", RULES: "var(--line)"}
"""Colours of figures -> variables of the page's light or dark colours, which replace them."""


def svg_file(figure: Figure) -> str:
    """Text of an SVG file of the figure, on a white background."""
    return '<?xml version="1.0" encoding="utf-8"?>\n' + _svg(figure, "usam-cache") + "\n"


def page_svg(figure: Figure, name: str) -> Markup:
    """Write the figure as an SVG element in the page's colours, with ``name`` as its id.

    Names must differ between figures of a page: ids inside of the figures follow from them.
    """
    svg = _svg(figure, name, transparent=True).replace("<svg", f'<svg id="{name}"', 1)
    for colour, page_colour in ON_PAGE.items():
        svg = svg.replace(colour, page_colour)
    return Markup(svg)  # noqa: S704 - matplotlib escapes names


def _svg(figure: Figure, salt: str, **settings: Any) -> str:  # noqa: ANN401
    """Write the figure as an SVG element without unused ids, by ``Figure.savefig(**settings)``.

    Other ids follow from the content and from ``salt``: figures with different salts share no id.
    """
    # Numbers along an axis may get longer with the final size of its panel: a layout before that of
    # `savefig` makes room for them.
    ConstrainedLayoutEngine().execute(figure)
    file = io.StringIO()
    # A date would change the bytes. With all four set to None, matplotlib writes no metadata.
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
