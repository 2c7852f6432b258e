"""Blocks that commands write into pages, between a pair of marks."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from pipeline.scoring.bootstrap import (
    Resampled,
    Resamples,
    interval,
    resample_groups,
    resampled_means,
)

N_RESAMPLES: Final = 2000
"""Resamples of the images for the intervals of tables."""


def marks(name: str) -> tuple[str, str]:
    """Marks before and behind a block."""
    return f"<!-- {name} -->", f"<!-- /{name} -->"


def read_block(page: Path, name: str) -> str:
    """Read the text between the marks of a block.

    Raises
    ------
    ValueError
        If the page does not have each mark once.
    """
    return _cut(page, name)[1].removeprefix("\n").removesuffix("\n")


def replace_block(page: Path, name: str, block: str) -> None:
    """Write a text between the marks of a block.

    Raises
    ------
    ValueError
        If the page does not have each mark once.
    """
    before, _, after = _cut(page, name)
    begin, end = marks(name)
    page.write_text(f"{before}{begin}\n{block}\n{end}{after}", encoding="utf-8")


def table(
    header: Iterable[str], rows: Iterable[Iterable[str]], *, left: Collection[int] = (0,)
) -> str:
    """A table in Markdown; columns of numbers, all but those in ``left``, stand to the right."""
    names = list(header)
    rule = ["---" if i in left else "---:" for i in range(len(names))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (names, rule, *rows))


def with_interval(draws: Resampled, n_groups: int, form: str) -> str:
    """A number with its 95 % interval, such as ``+1.0 (-0.4 to +2.4)``.

    ``draws`` has the number over all objects first, then over each resample of ``n_groups`` groups;
    ``form`` is the format of each number.
    """
    ends = interval(draws, n_groups)
    return f"{draws[0]:{form}} ({ends.low:{form}} to {ends.high:{form}})"


def resamples_of(rows: pd.DataFrame) -> Resamples:
    """Resamples of the images of rows, whose numbers are in the column ``image``."""
    return resample_groups(rows["image"].to_numpy(), N_RESAMPLES, seed=0)


def mean_of(rows: pd.DataFrame, values: "pd.Series[float]", form: str) -> str:
    """Mean of a value of each row, with its 95 % interval over the images."""
    resamples = resamples_of(rows)
    draws = resampled_means(values.to_numpy(np.float64)[:, np.newaxis], resamples)[:, 0]
    return with_interval(draws, resamples.n_groups, form)


def starred(label: str) -> str:
    """A label whose stars Markdown does not take for emphasis."""
    return label.replace("*", r"\*")


def _cut(page: Path, name: str) -> tuple[str, str, str]:
    begin, end = marks(name)
    text = page.read_text(encoding="utf-8")
    counts = [text.count(mark) for mark in (begin, end)]
    if counts != [1, 1]:
        raise ValueError(f"{page} must have {begin} and {end} once, got {counts}")
    before, _, from_block = text.partition(begin)
    block, _, after = from_block.partition(end)
    return before, block, after
