"""Shows how tuning by SMAC3 changes verdicts: ``python -m tools.show_tuning``.

Reads   ``params.yaml``, set as in ``params/results.yaml``; its ``cache`` and ``results``.
Writes  ``build/tuned``, whose heads are tuned; the part of ``docs/heads.md`` between
        ``<!-- tuning -->`` and ``<!-- /tuning -->``.
"""

import json
import subprocess
import sys
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Final

from stages.page.labels import TASK_LABELS, measure_label, number, protocol_heading, with_bounds
from stages.page.verdict import comparisons
from stages.program.main import PIPELINE
from stages.settings.params import PARAMS_FILE
from stages.settings.parsing import read_yaml
from stages.settings.versions import VERSIONS_FILE
from storage.outputs.results import SplitResults, read_results
from storage.paths import results_dir
from tools.blocks import replace_block, table
from tools.show_results import FURTHER, STYLES, starred

PAGE: Final = Path("docs", "heads.md")

TUNED: Final = Path("build", "tuned")
"""A project that shares the cache; trials of an interrupted run are kept."""

BEFORE_AFTER: Final = ("_before", "_after")

SETTINGS: Final = {"n_trials": 42, "facade": "multifidelity"}
"""Successive halving, twice."""


def main() -> None:
    """Tune, train and evaluate beside the results, then rewrite the block."""
    untuned = read_results(results_dir(FURTHER))
    tune_beside(read_yaml(PARAMS_FILE))
    replace_block(PAGE, "tuning", tuning_block(untuned, read_results(TUNED / results_dir(FURTHER))))


def tune_beside(params: dict[str, Any]) -> None:
    """Make the results of ``FURTHER`` in ``TUNED``, by heads with tuned hyperparameters."""
    TUNED.mkdir(parents=True, exist_ok=True)
    for shared in ("cache", "data", PIPELINE, VERSIONS_FILE):
        link = TUNED / shared
        link.unlink(missing_ok=True)
        link.symlink_to(Path(shared).resolve())
    changed = params | {"tune": params["tune"] | SETTINGS}
    (TUNED / PARAMS_FILE).write_text(json.dumps(changed), encoding="utf-8")  # which is YAML, too
    stages = ("tune", "train", f"evaluate@{FURTHER}")
    subprocess.run([sys.executable, "-m", "stages.cli", "run", *stages], cwd=TUNED, check=True)


def tuning_block(untuned: SplitResults, tuned: SplitResults) -> str:
    """The number of verdicts that differ, then relative AUCs of tuned heads, before and after.

    Raises
    ------
    ValueError
        If the two results compare other measures.
    """
    keys = ["protocol", "task", "measure"]
    before, after = (comparisons({FURTHER: results}, FURTHER) for results in (untuned, tuned))
    rows = before.merge(after, on=keys, suffixes=BEFORE_AFTER, validate="one_to_one")
    if not len(rows) == len(before) == len(after):
        raise ValueError(
            f"both results must compare the same measures, got {len(before)} and {len(after)}"
        )
    compared = rows.dropna(subset="verdict_before")
    differ = compared[compared["verdict_before"] != compared["verdict_after"]]
    moved = rows[rows["relative_before"] != rows["relative_after"]]
    shift = (rows["relative_after"] - rows["relative_before"]).abs().max()
    trials = f"{SETTINGS['n_trials']} trials of SMAC3 (`{SETTINGS['facade']}`) per objective"
    lead = (
        f"After {trials} in place of the defaults, {len(differ) or 'none'} of {len(compared)} "
        f"verdicts on {FURTHER} {'differs' if len(differ) == 1 else 'differ'}; relative AUC moves "
        f"by {number(shift)} points at most:"
    )
    header = ["protocol", "task", "measure", "defaults", "tuned"]
    cells = [
        [
            protocol_heading(row["protocol"]),
            TASK_LABELS[row["task"]],
            starred(measure_label(row["measure"])),
            *(_cell(row, end) for end in BEFORE_AFTER),
        ]
        for row in moved.to_dict("records")
    ]
    return f"{lead}\n\n{table(header, cells, left=(0, 1, 2))}"


def _cell(row: Mapping[Hashable, Any], end: str) -> str:
    side: dict[Hashable, Any] = {
        str(name).removesuffix(end): value for name, value in row.items() if str(name).endswith(end)
    }
    return STYLES.get(side["verdict"], "{}").format(with_bounds(side, "relative"))


if __name__ == "__main__":
    main()
