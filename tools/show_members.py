"""Writes into ``docs/heads.md`` what more networks, and wider ones, change for the heads ``ours``.

Reads   ``params.yaml``, set as in ``params/results.yaml``; the cells of its train split.
Writes  the part of the page between ``<!-- members -->`` and ``<!-- /members -->``.

``python -m tools.show_members``, beside a finished ``make results``, takes some minutes. Heads
learn from four fifths of the train scenes, and the other fifth judges them: the scenes of the
results choose nothing.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import typer
from scipy.special import expit, logit

from pipeline.heads.kinds import CUT_OBJECTIVES, KINDS_BY_NAME, HeadSet
from pipeline.heads.objectives import TrainingSet, split_by_group
from pipeline.heads.predict import HeadWeights
from pipeline.heads.training import Rows, train_heads
from pipeline.mask_choices import IouAtCut, choose_masks, selected_masks
from pipeline.scoring.bootstrap import interval, resample_groups, resampled_means
from stages.executor.opened_cells import CellsToOpen, opened
from stages.page.labels import DASH
from stages.settings.params import cache_location, read_params
from stages.settings.signatures import train_settings
from stages.training.choices import expected_iou_at_cut
from stages.training.data import group_index, learned_prompts, read_head_data
from stages.training.fit import one_thread_each
from storage.split.split_cells import SplitCells
from tools.blocks import replace_block, table

PAGE: Final = Path("docs", "heads.md")

CHOOSERS: Final = HeadSet("selected", "selected", "ours")

WIDTHS: Final = (128, 256, 384)
"""Widths of the hidden layers of a network."""

N_NETWORKS: Final = 3
"""Number of networks of each width: each judged alone, and all of them merged."""

JUDGING_SEEDS: Final = (0, 1)
"""Seeds of the choice of the scenes that judge; scenes may judge twice."""

N_RESAMPLES: Final = 2000

CLICK: Final = "center"


def main() -> None:
    """Rewrite the block."""
    params = read_params()
    (split,) = params.train_splits
    expected = train_settings(params.extract, split, params.models, params.train_prompts)
    cells = opened(CellsToOpen(split, expected, cache_location()))
    with one_thread_each():
        objects = pd.concat([*_judged(cells, read_head_data(cells, CHOOSERS))])
    header = (
        *("width", "networks", "gain of the choice, click", "all prompt sets"),
        *("over the first row", "squared error"),
    )
    replace_block(PAGE, "members", f"\n{table(header, _lines(objects))}\n")


def _judged(cells: SplitCells, data: TrainingSet) -> Iterator[pd.DataFrame]:
    """A row for each object that judges, by width, number of networks, prompt set and model."""
    group = group_index(cells.table)
    for judging_seed in JUDGING_SEEDS:
        rows = Rows(*split_by_group(data.group, judging_seed))
        _, held_out = split_by_group(group, judging_seed)
        for width in WIDTHS:
            networks = [_trained(cells, data, rows, width, seed) for seed in range(N_NETWORKS)]
            for prompt in learned_prompts(cells, CHOOSERS):
                for model, cell in cells.identity.items():
                    iou_at_cut = cell.iou_at_cut(prompt)[held_out]
                    sam_score = cell.proposals(prompt).sam_score[held_out]
                    logits = [
                        logit(expected_iou_at_cut(cell, CHOOSERS, heads, prompt)[held_out])
                        for heads in networks
                    ]
                    keys = {"width": width, "prompt": prompt, "model": model}
                    alone = np.mean([_scores(x, iou_at_cut, sam_score) for x in logits], axis=0)
                    merged = _scores(np.mean(logits, axis=0), iou_at_cut, sam_score)
                    for n_networks, (gain, error) in ((1, alone), (N_NETWORKS, merged)):
                        columns = {"group": group[held_out], "gain": gain, "error": error}
                        yield pd.DataFrame({**keys, "networks": n_networks, **columns})


def _trained(
    cells: SplitCells, data: TrainingSet, rows: Rows, width: int, seed: int
) -> dict[str, HeadWeights]:
    kind = replace(KINDS_BY_NAME[CHOOSERS.kind], hidden=width, n_members=1)
    assert kind.plan is not None
    objectives = CHOOSERS.objectives(cells.models)
    heads = train_heads(data, rows, objectives, kind.plan, seed=seed, kind=kind)
    return {name: heads[name].weights for name in CUT_OBJECTIVES}


def _scores(
    logits: IouAtCut, iou_at_cut: IouAtCut, sam_score: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gain of the choice in points of IoU, and mean squared error over masks, of each object."""
    expected = expit(logits)
    gain = choose_masks(expected).of(iou_at_cut) - selected_masks(sam_score).of(iou_at_cut)
    return 100 * gain, np.square(expected - iou_at_cut).mean(axis=(1, 2))


def _lines(objects: pd.DataFrame) -> Iterator[list[str]]:
    of_cells = dict(list(objects.groupby(["width", "networks"])))
    first = next(iter(of_cells.values()))
    for (width, n_networks), rows in of_cells.items():
        is_click = rows["prompt"] == CLICK
        over_first = rows.assign(gain=rows["gain"].to_numpy() - first["gain"].to_numpy())
        yield [
            *(str(width), str(n_networks)),
            *(_with_interval(scores) for scores in (rows[is_click], rows)),
            DASH if rows is first else _with_interval(over_first),
            f"{rows['error'].mean():.4f}",
        ]


def _with_interval(rows: pd.DataFrame) -> str:
    """Mean gain, with its 95 % interval over the scenes."""
    gain = rows["gain"].to_numpy()
    _, group = np.unique(rows["group"], return_inverse=True)
    resamples = resample_groups(group, N_RESAMPLES, seed=0)
    ends = interval(resampled_means(gain[:, np.newaxis], resamples)[:, 0], resamples.n_groups)
    return f"{gain.mean():+.2f} ({ends.low:+.2f} to {ends.high:+.2f})"


if __name__ == "__main__":
    typer.run(main)
