"""Results of heads that lack one of the tokens, as tables."""

from typing import Final

import pandas as pd

from pipeline.heads.kinds import PAPER
from pipeline.scoring.measures import OF_KIND
from pipeline.vocabulary import ABLATIONS, JUDGED
from stages.tables.rows import Results, a_column_a_split, task_models, task_rows

BOTH: Final = "both"
"""The method's own heads, which read both tokens."""

ABLATED: Final = (*ABLATIONS, BOTH)
"""What heads read, in the order of the paper's Table 6."""

TOKEN_INDEX: Final = ["tokens", "task", "model", "measure", "trained_on"]


def ablation_table(results: Results) -> pd.DataFrame:
    """Relative AUC in percent of heads without one of the tokens: the paper's Table 6.

    Returns
    -------
    With bounds; no rows if no such heads were trained.

    Notes
    -----
    The paper's row of both tokens is nearest to its Tables 1 to 3 at Δ_Θ, Δ_Xp and Δ_A of COCO
    (63.66 = 63.66, 78.30 to 78.17, 94.82 to 94.85 %); the directly learned gaps stand beside them.
    """
    rows = _token_rows(results)
    rows = rows[rows["task"] != "segmentation"]
    return a_column_a_split(rows, TOKEN_INDEX, "relative")


def token_margin_table(results: Results) -> pd.DataFrame:
    """Relative AUC of heads without a token minus that of the method's, in percentage points.

    Returns
    -------
    With bounds of the differences themselves; no rows if no such heads were trained.
    """
    rows = _token_rows(results)
    return a_column_a_split(rows[rows["tokens"] != BOTH], TOKEN_INDEX, "tokens_margin")


def _token_rows(results: Results) -> pd.DataFrame:
    """AUC rows of all tasks by what the heads read; none if no head lacks a token."""
    rows = pd.concat([task_rows(results, task) for task in task_models(results)])
    rows = rows[rows["measure"].isin(OF_KIND[PAPER])]
    # The judged proposal follows from the task, which has its own column.
    labels = dict.fromkeys(JUDGED, BOTH)
    labels |= {f"{judged}_{lack}": lack for judged in JUDGED for lack in ABLATIONS}
    rows = rows.assign(tokens=rows["tokens"].map(labels))
    if set(rows["tokens"]) <= {BOTH}:
        return rows[:0]
    return rows.sort_values("tokens", key=lambda name: name.map(ABLATED.index), kind="stable")
