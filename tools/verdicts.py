"""What README says of the results in words: each word follows from an interval."""

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Final

from pipeline.scoring.measures import OF_KIND
from stages.page.labels import measure_label

BASELINE_WORDS: Final = "1 − SamScore of the same mask"
"""What all measures are compared with, in a sentence."""

SUBJECTS: Final[Mapping[str, str]] = {
    "model": "Predicting where a larger model helps",
    "prompt": "Predicting where more clicks help",
    "task": "Predicting where another proposal is better",
    "segmentation": "Predicting how wrong a mask is",
}
"""Beginning of each task's sentence, which names every measure of its table."""

IN_WORDS: Final[Mapping[str, str]] = {"sam_score_highest": "1 − the highest SamScore"}
"""Names in a list for measures whose label has a comma."""

PHRASES: Final[Mapping[str, tuple[str, str]]] = {
    "better": ("beats", "beat"),
    "no better": ("does not clearly differ from", "do not clearly differ from"),
    "worse": ("falls short of", "fall short of"),
}
"""Verdicts in words, for one measure and for several."""

COUNTS: Final = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

MARGIN: Final = "margin"
"""Column of the margin; the columns of its bounds begin with it."""

Row = Mapping[Hashable, Any]
"""``task`` and ``measure`` by name, ``margin`` with its bounds."""


def claims(margins: Iterable[Row]) -> str:
    """Sentences about the margins over 1 - SamScore: on each kind of heads, then on each task."""
    rows = list(margins)
    of_tasks = [
        f"- {subject}: {_sentence([row for row in rows if row['task'] == task])}"
        for task, subject in SUBJECTS.items()
        if any(row["task"] == task for row in rows)
    ]
    return "\n\n".join([" ".join(_of_heads(rows)), "\n".join(of_tasks)]).lstrip()


def verdict(row: Row) -> str:
    """Whether a margin is sure to be above 0, sure to be below, or neither: one of ``PHRASES``.

    A margin without an interval, as over a single image, is neither.
    """
    if row[f"{MARGIN}_low"] > 0:
        return "better"
    return "worse" if row[f"{MARGIN}_high"] < 0 else "no better"


def as_markdown(label: str) -> str:
    """Keep a label's stars from being read as emphasis."""
    return label.replace("*", r"\*")


def _sentence(rows: list[Row]) -> str:
    parts: list[str] = []
    for name, phrases in PHRASES.items():
        measures = [_in_words(row["measure"]) for row in rows if verdict(row) == name]
        if measures:
            other = "it" if parts else BASELINE_WORDS
            parts.append(f"{_listed(measures)} {phrases[len(measures) > 1]} {other}")
    return "; ".join(parts) + "."


def _of_heads(rows: list[Row]) -> list[str]:
    """How many measures of each kind of heads earn each verdict; empty without heads."""
    return [
        _of_kind(kind, found)
        for kind, measures in OF_KIND.items()
        if (found := [verdict(row) for row in rows if _name(row) in measures])
    ]


def _name(row: Row) -> str:
    name: str = row["measure"].partition("@")[0]
    return name


def _of_kind(kind: str, found: list[str]) -> str:
    counts = {name: found.count(name) for name in PHRASES}
    parts = [
        f"{_counted(n)} {PHRASES[name][n > 1]} {BASELINE_WORDS if name == 'better' else 'it'}"
        for name, n in counts.items()
        if n or name == "better"  # that none beats it is worth saying
    ]
    return (
        f"Of the measures of the heads `{kind}`, {_counted(len(found))} in all, {_listed(parts)}."
    )


def _in_words(measure: str) -> str:
    # In a list, the comma of "Δ_Θ, ours" would part one measure from the next.
    return IN_WORDS.get(measure) or as_markdown(measure_label(measure).replace(", ", " of "))


def _counted(number: int) -> str:
    return COUNTS[number] if number < len(COUNTS) else str(number)


def _listed(words: list[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
