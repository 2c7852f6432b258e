"""The page's template, with all that is the same in every report."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import jinja2
from markupsafe import Markup, escape

from pipeline.scoring.measures import MEASURES
from stages.page.grid import Cell
from stages.page.labels import (
    COLOURS,
    ENDS,
    GLOSSARY,
    MASK_COLOURS,
    METHOD_LABELS,
    SECTION_LABELS,
    TASK_LABELS,
    caption,
    column_label,
    is_dashed,
    model_label,
    number,
    significant,
    tint,
)
from stages.page.provenance import setting
from stages.tables.paper import FAMILY, PAPER

FOLDER: Final = Path(__file__).parent

N_NAMED: Final = 5
"""Changed files that the page names; further ones are only counted."""


def page_template() -> jinja2.Template:
    """The page, which lacks only the results."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= FILTERS
    environment.globals.update(
        colours=COLOURS,
        is_dashed=is_dashed,
        task_labels=TASK_LABELS,
        section_labels=SECTION_LABELS,
        mask_colours=MASK_COLOURS,
        ends=ENDS,
        paper=PAPER,
        paper_family=FAMILY,
        n_named=N_NAMED,
        measures=MEASURES,
        words=GLOSSARY,
    )
    return environment.get_template("report.html.j2")


def interval(cell: Cell, n_digits: int) -> str:
    """Write the ends of an interval, with a word between them if a dash could be a minus."""
    between = " to " if cell.low < 0 else "–"
    return number(cell.low, n_digits) + between + number(cell.high, n_digits)


def coded(text: str) -> Markup:
    """Text with what stands between backticks as code.

    >>> coded("heads `a` & b")
    Markup('heads <code>a</code> &amp; b')
    """
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


FILTERS: Final[Mapping[str, Callable[..., object]]] = {
    "caption": caption,
    "column_label": column_label,
    "model_label": model_label,
    "method_label": METHOD_LABELS.__getitem__,
    "number": number,
    "interval": interval,
    "significant": significant,
    "setting": setting,
    "tint": tint,
    "coded": coded,
}
"""How the page words what it shows."""
