"""Writes into ``docs/method.md`` how far the tokens of the best mask lift the task *task*.

Reads   the weights that ship, ``params/results.yaml``.
Writes  the part of the page between ``<!-- best-tokens -->`` and ``<!-- /best-tokens -->``.

``python -m tools.show_best_tokens``: heads learn from the train scenes of ``params/results.yaml``
and rank objects of scenes that are in no split. ``make results`` does not run it, since it reads no
results.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import typer

from pipeline.extraction.predictions import Request, extract_objects
from pipeline.extraction.shards import CPU_BATCH
from pipeline.heads.kinds import KINDS_BY_NAME, PAPER, RANGES, HeadSet, Hyperparameters
from pipeline.heads.objectives import training_set
from pipeline.heads.predict import INPUT_ARRAYS, predict, set_inputs
from pipeline.heads.training import Plan, Rows, train_heads
from pipeline.prompts import measure_objects
from pipeline.proposals import ProposalScores, Values
from pipeline.scenes.scene import draw_scene, scene_seeds
from pipeline.scoring.bootstrap import interval, resample_groups, resampled_areas
from pipeline.scoring.corrections import aucs_by_draw
from pipeline.scoring.tasks import Correction
from pipeline.views import default_view
from pipeline.vocabulary import TRAIN_PROMPTS
from stages.page.labels import DASH
from stages.predictor.loading import load_predictor
from stages.settings.params import Params, read_params
from tools.blocks import replace_block, table

PAGE: Final = Path("docs", "method.md")

PARAMS: Final = Path("params", "results.yaml")

SEED, N_SCENES = 31, 300
"""Seed and number of the ranked scenes."""

N_RESAMPLES: Final = 2000

TOKENS: Final = ("selected", "best")

OBJECTIVE: Final = "task_gap"

LONGEST: Final = int(RANGES["epochs"][1])
"""Most epochs that the stage ``tune`` tries."""

NO_HEAD: Final = "none: 1 if the selected mask is not the best, else 0"
"""Row of the ground truth itself."""

Arrays = dict[str, np.ndarray]
"""Arrays of features with a row for each object; ``group`` is the number of the scene."""


def main() -> None:
    """Rewrite the block."""
    params = read_params(PARAMS)
    shapes, (smallest, *_) = params.shapes, params.models
    train = scene_seeds(shapes.seed, "train", shapes.n_train_images)
    fresh = scene_seeds(SEED, "further", N_SCENES)
    learned = features(params.models, train, shapes.image_size_px)
    ranked = features([smallest], fresh, shapes.image_size_px)[smallest]
    lines = [
        [f"`{kind}`", str(plan.epochs)]
        + [
            relative(ranked, _gap(learned, HeadSet("best", tokens, kind), plan, ranked))
            for tokens in TOKENS
        ]
        for kind, plan in plans(params)
    ]
    misses = ranked["iou"].argmax(axis=1) != ranked["sam_score"].argmax(axis=1)
    lines.append([NO_HEAD, DASH, DASH, relative(ranked, misses.astype(np.float64))])
    header = ("heads", "epochs", "tokens of the selected mask", "tokens of the best mask")
    replace_block(PAGE, "best-tokens", f"\n{table(header, lines)}\n")


def plans(params: Params) -> list[tuple[str, Plan]]:
    """Kinds of heads with their training; the paper's, too, with the most epochs of its search."""
    tune = params.tune
    default = Hyperparameters(tune.epochs, tune.batch_size, tune.learning_rate, tune.momentum)
    ours = KINDS_BY_NAME["ours"].plan
    assert ours is not None
    longest = replace(default, epochs=LONGEST)
    return [(PAPER, default), (PAPER, longest), ("ours", ours)]


def features(models: Iterable[str], seeds: Iterable[int], side_px: int) -> dict[str, Arrays]:
    """Features of the objects of drawn scenes, by model: those of one click, then of eight.

    Arrays of ``refined``, all eight clicks, have names with this word before them.
    """
    sams = {model: load_predictor("mini", model).sam for model in models}
    blocks: dict[str, list[Arrays]] = {model: [] for model in sams}
    for number, seed in enumerate(seeds):
        scene = draw_scene(seed, side_px)
        clicks = measure_objects((mask, 0) for mask in scene.masks).point_px
        request = Request(clicks, scene.masks, default_view("identity"), TRAIN_PROMPTS)
        for model, sam in sams.items():
            rows = extract_objects(
                sam, sam.encode(scene.rgb), request, batch=CPU_BATCH, with_masks=False
            )
            block = {name: rows[name][:, 0] for name in INPUT_ARRAYS}
            block |= {f"refined_{name}": rows[name][:, 1] for name in ("iou", "sam_score")}
            blocks[model].append(block | {"group": np.full(len(clicks), number)})
    return {
        model: {name: np.concatenate([block[name] for block in of_model]) for name in of_model[0]}
        for model, of_model in blocks.items()
    }


def _gap(learned: Mapping[str, Arrays], head_set: HeadSet, plan: Plan, ranked: Arrays) -> Values:
    """Δ*_A: gap of the task that a head predicts, after learning from the rows of all models."""
    kind = KINDS_BY_NAME[head_set.kind]
    names = ("iou", "sam_score", "refined_iou", "refined_sam_score")
    scores = {
        model: ProposalScores(**{name: rows[name] for name in names})
        for model, rows in learned.items()
    }
    inputs = np.array([[set_inputs(rows, head_set) for rows in learned.values()]])
    group = next(iter(learned.values()))["group"]
    data = training_set(inputs, [scores], group, head_set=head_set)
    every = Rows(np.arange(len(data.group)), np.arange(0))
    objectives = head_set.objectives(list(learned)) if kind.shares_layers else (OBJECTIVE,)
    trained = train_heads(data, every, objectives, plan, seed=0, kind=kind)
    heads = {OBJECTIVE: trained[OBJECTIVE].weights}
    return predict(heads, set_inputs(ranked, head_set))[OBJECTIVE].astype(np.float64)


def relative(rows: Arrays, uncertainty: Values) -> str:
    """Relative AUC in % in the task *task*, with its interval over the scenes."""
    selected = rows["iou"][np.arange(len(rows["iou"])), rows["sam_score"].argmax(axis=1)]
    correction = Correction(selected, rows["iou"].max(axis=1))
    resamples = resample_groups(rows["group"], N_RESAMPLES, seed=0)
    areas = resampled_areas(correction.gain[:, np.newaxis], uncertainty, resamples)
    *_, (relative,) = aucs_by_draw(correction, areas.T, resamples)
    ends = interval(relative, resamples.n_groups)
    return f"{100 * relative[0]:.1f} ({100 * ends.low:.0f}–{100 * ends.high:.0f})"


if __name__ == "__main__":
    typer.run(main)
