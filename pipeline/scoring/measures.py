"""Every measure: the one table that scores, report tables, figures, plots and docs come from."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from pipeline.heads.kinds import HEAD_KINDS, KINDS_BY_NAME, PAPER, HeadKind
from pipeline.scoring.declared import DECLARED, Measure
from pipeline.scoring.evidence import Values
from pipeline.vocabulary import TASKS


def _of_kind(measure: Measure, kind: HeadKind) -> Measure:
    """The same measure from heads of another kind."""
    return replace(
        measure,
        name=kind.named(measure.name),
        symbol=measure.symbol + kind.label,
        meaning=f"{measure.meaning}, from the heads `{kind.name}`",
        colour=kind.colour,
        heads=kind.name,
        predicted_iou=measure.predicted_iou and measure.predicted_iou + kind.label,
        radar_lines=tuple(kind.named(name) for name in measure.radar_lines),
        timed_as=kind.named(measure.timed_as) if measure.timed_as else "",
    )


MEASURES: Final = (
    *DECLARED,
    *(
        _of_kind(measure, kind)
        for kind in HEAD_KINDS
        if kind.name != PAPER
        for measure in DECLARED
        if measure.needs_heads
    ),
)
"""Every measure in the order of tables and figures, those without heads first, then those of each
kind of heads."""

BY_NAME: Final[Mapping[str, Measure]] = {measure.name: measure for measure in MEASURES}


def ranked_name(name: str, measure: str) -> str:
    """Name of what a measure ranks, such as a task: with the kind of its heads, but the paper's."""
    heads = BY_NAME[measure].heads
    return KINDS_BY_NAME[heads].named(name) if heads else name


UNTRAINED_MEASURES: Final = tuple(m.name for m in MEASURES if not m.needs_heads)
"""Names of the measures that need no head."""

HEAD_MEASURES: Final = tuple(m.name for m in MEASURES if m.needs_heads)
"""Names of the measures from the heads of one train split."""

OF_KIND: Final[Mapping[str, tuple[str, ...]]] = {
    kind.name: tuple(m.name for m in MEASURES if m.heads == kind.name) for kind in HEAD_KINDS
}
"""Names of the measures from each kind of heads."""

TASK_MEASURES: Final[Mapping[str, tuple[str, ...]]] = {
    task: tuple(m.name for m in MEASURES if task in m.tasks) for task in TASKS
}
"""Names of the measures that each task shows: the rows of the paper's Tables 1 to 4, and more."""

GALLERY_MEASURES: Final[Mapping[str, tuple[str, ...]]] = {
    task: tuple(
        m.name for m in sorted(MEASURES, key=lambda m: not m.needs_heads) if m.gallery == task
    )
    for task in TASKS
}
"""Names of the measures that rank each task's gallery: those of heads, then the one without."""


def predicted_iou(measure: str, value: Values) -> Values:
    """A measure as tables of single objects show it: 1 - it, if that is a predicted IoU."""
    return 1 - value if BY_NAME[measure].predicted_iou else value


def markdown() -> str:
    """All measures as a table in Markdown."""
    lines = ["| measure | name | what it is | one for each | tables of |", "| --- " * 5 + "|"]
    lines += [
        f"| {m.symbol} | `{m.name}` | {m.meaning} "
        f"| {_differs_by(m)} | {', '.join(m.tasks) or '-'} |"
        for m in MEASURES
    ]
    return "\n".join(lines).replace("*", r"\*") + "\n"


def _differs_by(measure: Measure) -> str:
    if measure.needs_heads:
        return "model and train split"
    return "split" if measure.is_shared else "model"
