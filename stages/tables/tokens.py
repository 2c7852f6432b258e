"""Results of heads that read other tokens, as tables."""

from typing import Final

import pandas as pd

from pipeline.vocabulary import TOKEN_SETS
from stages.tables.rows import Results, a_column_a_split, task_models, task_rows

ABLATED: Final = ("no_mask", "no_iou", "best")
"""Token sets in the order of the paper's Table 6."""

TOKEN_INDEX: Final = ["tokens", "task", "model", "measure", "trained_on"]


def ablation_table(results: Results) -> pd.DataFrame:
    """Relative AUC in percent of heads without one of the tokens: the paper's Table 6.

    Returns
    -------
    With bounds; no row where no such heads were trained.

    Notes
    -----
    The paper's row of both tokens is nearest to its Tables 1 to 3 at Δ_Θ, Δ_Xp and Δ_A of COCO
    (63.66 = 63.66, 78.30 to 78.17, 94.82 to 94.85 %); the directly learned gaps stand beside them.
    """
    rows = _token_rows(results, ABLATED)
    rows = rows[rows["task"] != "segmentation"]
    return a_column_a_split(rows, TOKEN_INDEX, "relative")


def selected_table(results: Results) -> pd.DataFrame:
    """Relative AUC in percent by whose tokens heads read: the best or the selected proposal's.

    Returns
    -------
    With bounds; no row where no heads of the selected proposal were trained.
    """
    return a_column_a_split(_token_rows(results, ("best", "selected")), TOKEN_INDEX, "relative")


def token_margin_table(results: Results) -> pd.DataFrame:
    """Relative AUC of heads of other token sets beyond that of ``best``, in percentage points.

    Returns
    -------
    With bounds, of the differences themselves; no row where no such heads were trained.
    """
    rows = _token_rows(results, TOKEN_SETS)
    rows = rows[rows["tokens"] != "best"]
    return a_column_a_split(rows, TOKEN_INDEX, "tokens_margin")


def _token_rows(results: Results, token_sets: tuple[str, ...]) -> pd.DataFrame:
    """AUC rows of all tasks, one token set after the other; none where ``best`` is alone."""
    rows = pd.concat([task_rows(results, task) for task in task_models(results)])
    rows = rows[rows["tokens"].isin(token_sets)]
    if set(rows["tokens"]) <= {"best"}:
        return rows[:0]
    return rows.sort_values("tokens", key=lambda name: name.map(token_sets.index), kind="stable")
