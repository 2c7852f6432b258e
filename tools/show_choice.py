"""Writes what the choice of masks gains into ``docs/predict.md``: ``make results``.

Reads   the weights and heads that ship, ``params.yaml:shapes``; a folder of photographs, if given:
        ``annotations.json``, a COCO file, and ``images``.
Writes  the parts of the page between ``<!-- choice -->`` and ``<!-- /choice -->``, of scenes, and
        between ``<!-- choice-photographs -->`` and ``<!-- /choice-photographs -->``.

``python -m tools.show_choice --seed 7 FOLDER``: the seed draws scenes that nothing was learned from
or chosen on. ``--no-scenes`` writes the part of photographs alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import pandas as pd
import typer

from pipeline.extraction.predictions import Request, extract_objects
from pipeline.extraction.shards import CPU_BATCH
from pipeline.heads.kinds import CUT_OBJECTIVES, KINDS_BY_NAME, HeadSet
from pipeline.heads.objectives import TrainingSet, split_by_group, training_set
from pipeline.heads.predict import INPUT_ARRAYS, HeadWeights, inputs_of_proposals, predict
from pipeline.heads.training import Rows, train_heads
from pipeline.mask_choices import choice_gain, choose_masks, selected_masks
from pipeline.masks import CUTS
from pipeline.prompts import measure_objects
from pipeline.proposals import ProposalScores
from pipeline.scenes.scene import Scene, draw_scene, scene_seeds
from pipeline.scoring.bootstrap import interval, resample_groups, resampled_means
from pipeline.views import default_view
from stages.predictor.loading import load_predictor
from stages.settings.params import read_params
from stages.training.fit import one_thread_each
from tools.blocks import replace_block, table
from tools.show_expected import CLICK, PROMPTS, answers_by_prompt
from tools.show_review import photographs

PAGE: Final = Path("docs", "predict.md")

MODELS: Final = ("tiny", "small", "base_plus", "large")

N_SCENES: Final = 400

N_PROMPTS: Final = 4
"""Number of kinds of prompts from which heads choose masks: all but prompts with a mask."""

PHOTOGRAPH_PROMPTS: Final = {
    "center": PROMPTS[CLICK],
    "box": PROMPTS["box"],
    "refined": PROMPTS["refined"],
    "corrected": PROMPTS["alone"],
}
"""Prompt sets of photographs -> labels; heads learn from all of them."""

CHOOSERS: Final = HeadSet("selected", "selected", "ours")
"""Heads that choose masks."""

SCORES: Final = ("iou", "sam_score", "refined_iou", "refined_sam_score", "iou_at_cut")
"""Arrays from which the targets of heads are computed."""

N_FOLDS: Final = 10
"""Number of parts of the photographs: heads learn from all parts but the shown one."""

LEAST_AREA_PX: Final = 200
"""Smallest object of a photograph that counts."""

N_RESAMPLES: Final = 2000

LEAST_CHANGE: Final = 0.01
"""Difference in IoU above which an object counts as gained or lost."""


def main(
    folder: Annotated[Path | None, typer.Argument(help="Folder of photographs.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the scenes.")] = 9,
    scenes: Annotated[bool, typer.Option(help="Whether to rewrite the part of scenes.")] = True,  # noqa: FBT002 - an option
) -> None:
    """Rewrite the blocks."""
    if scenes:
        side = read_params().shapes.image_size_px
        seeds = scene_seeds(seed, "further", N_SCENES)
        drawn = [draw_scene(scene_seed, side) for scene_seed in seeds]
        _write("choice", (row for model in MODELS for row in scene_rows(model, drawn)))
    if folder is not None:
        _write("choice-photographs", photograph_rows(folder))


def _write(block: str, rows: Iterable[dict[str, Any]]) -> None:
    replace_block(PAGE, block, f"\n{choice_table(pd.DataFrame(rows))}\n")


def scene_rows(model: str, scenes: Iterable[Scene]) -> Iterator[dict[str, Any]]:
    """A row for each object and kind of prompt, as a user has it: with the heads that ship.

    Where no choice is offered, the mask is the selected one.
    """
    predictor = load_predictor("mini", model)
    for group, scene in enumerate(scenes):
        predictor.set_image(scene.rgb)
        for prompt, uncertainties in islice(answers_by_prompt(predictor, scene.masks), N_PROMPTS):
            for uncertainty, truth in zip(uncertainties, scene.masks, strict=True):
                best, selected = uncertainty.best_mask, uncertainty.masks[uncertainty.selected]
                yield {
                    "prompt": PROMPTS[prompt],
                    "model": model,
                    "group": group,
                    "iou": _iou(selected, truth),
                    "chosen_iou": _iou(best.mask, truth),
                    "expected": best.expected_iou,
                }


def _iou(mask: np.ndarray, truth: np.ndarray) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


def photograph_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """A row for each object, prompt and model, by heads that learned from the other photographs.

    As in the stages, heads learn from the tokens of all models and from all prompt sets, and a
    fifth of the images that they may learn from measures how much chosen masks are overstated.
    """
    features = {model: _features(model, folder) for model in MODELS}
    group = features[MODELS[0]]["group"]
    fold = np.random.default_rng(0).permutation(group.max() + 1)[group] % N_FOLDS
    for number in range(N_FOLDS):
        learned, shown = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        first, held_out = split_by_group(group[learned], seed=0)
        validated, final = (
            _trained(_training_set(features, objects)) for objects in (learned[first], learned)
        )
        for prompt, label in PHOTOGRAPH_PROMPTS.items():
            of_prompt = {model: _of_prompt(rows, prompt) for model, rows in features.items()}
            excess = _excess(validated, of_prompt, prompt, learned[held_out])
            for model, rows in of_prompt.items():
                keys = {"prompt": label, "model": model}
                yield from _chosen_rows(keys, final, _taken(rows, shown), excess)


Arrays = dict[str, np.ndarray]
"""Arrays of features with a row for each object; ``group`` is the number of the image."""


def _features(model: str, folder: Path) -> Arrays:
    """Features of all objects of a folder of photographs under every prompt set, and groups."""
    sam = load_predictor("mini", model).sam
    blocks: list[Arrays] = []
    for rgb, all_masks in photographs(folder):
        masks = [mask for mask in all_masks if mask.sum() >= LEAST_AREA_PX]
        if not masks:
            continue
        clicks = measure_objects((mask, 0) for mask in masks)
        request = Request(
            clicks.point_px, np.stack(masks), default_view("identity"), tuple(PHOTOGRAPH_PROMPTS)
        )
        rows = extract_objects(sam, sam.encode(rgb), request, batch=CPU_BATCH, with_masks=False)
        blocks.append(rows | {"group": np.full(len(masks), len(blocks))})
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _of_prompt(features: Arrays, prompt: str) -> Arrays:
    """Arrays of one prompt set that heads read or learn, with scores of ``refined`` beside them."""
    column, refined = (list(PHOTOGRAPH_PROMPTS).index(name) for name in (prompt, "refined"))
    return {
        **{name: features[name][:, column] for name in (*INPUT_ARRAYS, "iou_at_cut")},
        **{f"refined_{name}": features[name][:, refined] for name in ("iou", "sam_score")},
        "group": features["group"],
    }


def _taken(arrays: Arrays, objects: np.ndarray) -> Arrays:
    return {name: values[objects] for name, values in arrays.items()}


def _training_set(features: Mapping[str, Arrays], objects: np.ndarray) -> TrainingSet:
    inputs, scores = [], []
    for prompt in PHOTOGRAPH_PROMPTS:
        of_prompt = {
            model: _taken(_of_prompt(rows, prompt), objects) for model, rows in features.items()
        }
        inputs.append([inputs_of_proposals(rows, CHOOSERS) for rows in of_prompt.values()])
        scores.append(
            {
                model: ProposalScores(**{name: rows[name] for name in SCORES})
                for model, rows in of_prompt.items()
            }
        )
    group = features[MODELS[0]]["group"][objects]
    return training_set(np.array(inputs), scores, group, head_set=CHOOSERS)


def _trained(learned: TrainingSet) -> dict[str, HeadWeights]:
    """Heads that choose masks, trained as in the stage ``train``."""
    kind = KINDS_BY_NAME[CHOOSERS.kind]
    assert kind.plan is not None
    every = Rows(np.arange(len(learned.group)), np.arange(0))
    objectives = CHOOSERS.objectives(MODELS)
    with one_thread_each():
        trained = train_heads(learned, every, objectives, kind.plan, seed=0, kind=kind)
    return {name: trained[name].weights for name in CUT_OBJECTIVES}


def _expected(heads: Mapping[str, HeadWeights], rows: Arrays) -> np.ndarray:
    predicted = predict(heads, inputs_of_proposals(rows, CHOOSERS))
    return np.stack([*predicted.values()], axis=1).reshape(*rows["sam_score"].shape, len(CUTS))


def _excess(
    validated: Mapping[str, HeadWeights],
    of_models: Mapping[str, Arrays],
    prompt: str,
    held_out: np.ndarray,
) -> float:
    """How much chosen masks of held-out images are overstated, over all models."""
    judged = [_taken(rows, held_out) for rows in of_models.values()]
    expected = np.concatenate([_expected(validated, rows) for rows in judged])
    iou_at_cut, sam_score, group = (
        np.concatenate([rows[name] for rows in judged])
        for name in ("iou_at_cut", "sam_score", "group")
    )
    return choice_gain(prompt, expected, iou_at_cut, sam_score, group).excess


def _chosen_rows(
    keys: dict[str, str], heads: Mapping[str, HeadWeights], rows: Arrays, excess: float
) -> Iterator[dict[str, Any]]:
    expected = _expected(heads, rows)
    chosen, selected = choose_masks(expected), selected_masks(rows["sam_score"])
    columns = {
        "group": rows["group"],
        "iou": selected.of(rows["iou_at_cut"]),
        "chosen_iou": chosen.of(rows["iou_at_cut"]),
        "expected": chosen.expected(expected, selected, excess),
    }
    for row in zip(*columns.values(), strict=True):
        yield {**keys, **dict(zip(columns, row, strict=True))}


def choice_table(rows: pd.DataFrame) -> str:
    """Gain in mean IoU by the choice, shares of objects that change, and the calibration."""
    header = (
        *("prompt", "model", "objects", "IoU of selected masks"),
        *("gain in points", "gained", "lost", "expected less true"),
    )
    lines = []
    for keys, of_keys in rows.groupby(["prompt", "model"], sort=False):
        gain = (of_keys["chosen_iou"] - of_keys["iou"]).to_numpy()
        resamples = resample_groups(of_keys["group"].to_numpy(), N_RESAMPLES, seed=0)
        means = resampled_means(gain[:, np.newaxis], resamples)[:, 0]
        ends = interval(means, resamples.n_groups)
        lines.append(
            [
                *(str(key).replace("_", " ") for key in keys),
                str(len(of_keys)),
                f"{100 * of_keys['iou'].mean():.1f}",
                f"{100 * gain.mean():+.1f} ({100 * ends.low:+.1f} to {100 * ends.high:+.1f})",
                f"{(gain > LEAST_CHANGE).mean():.0%}",
                f"{(gain < -LEAST_CHANGE).mean():.0%}",
                f"{(of_keys['expected'] - of_keys['chosen_iou']).mean():+.3f}",
            ]
        )
    return table(header, lines, left=(0, 1))


if __name__ == "__main__":
    typer.run(main)
