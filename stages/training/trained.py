"""Writes trained heads and calibrations to ``heads/<train split>/<kind>``."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version

from pipeline.better_masks import best_fixed_cut
from pipeline.heads.kinds import HeadKind, HeadSet
from pipeline.scoring.calibration import isotonic_iou
from pipeline.vocabulary import JUDGED
from stages.settings.versions import version_entry
from stages.training.choices import held_out_evidence
from stages.training.data import OBJECTS, learned_prompts, origin_of
from stages.training.fit import FittedHeads, weights_by_fold
from storage.folders import whole_folder
from storage.head_files import calibrated_scores, head_file
from storage.head_files.guarantees import CHOICES, ERRORS, evidence_entry
from storage.outputs.tuning import Tuning
from storage.paths import isotonic_path, kind_dir
from storage.split.split_cells import SplitCells

Tunings = Mapping[str, Tuning]
"""Hyperparameters that the stage ``tune`` chose, by objective."""


def final_heads(
    cells: SplitCells, head_set: HeadSet, fitted: FittedHeads, tunings: Tunings, seed: int
) -> head_file.HeadFile:
    """Join the final heads of a head set, with what they learned from and how they validate.

    A validated head has the same hyperparameters as its final head, and learned from four fifths of
    the images; the rest measured its error.

    Parameters
    ----------
    cells
        Cells of the train split.
    fitted
        Final and validated heads of all objectives of the head set.
    tunings
        Choices of the stage ``tune``, by objective; kinds of heads with a plan of their own need
        none.
    seed
        Seed of the training, for the metadata.

    Returns
    -------
    The final head of each objective, with the error of its validated head in its metadata.
    """
    kind, shared = head_set.of_kind, _shared_metadata(cells, head_set, seed)
    final, validated = (
        {
            objective: head
            for heads, by_objective in fitted.items()
            if heads.is_final == is_final and heads.fold == 0
            for objective, head in by_objective.items()
        }
        for is_final in (True, False)
    )
    if head_set.chooses_masks:
        (judging_seed,) = {heads.judging_seed for heads in fitted}
        folds = weights_by_fold(fitted)
        gains, errors = held_out_evidence(cells, head_set, folds, judging_seed)
        shared |= evidence_entry(CHOICES, gains) | evidence_entry(ERRORS, errors)
    return head_file.pack_heads(
        {name: final[name].weights for name in validated},
        {
            name: shared | _metadata(kind, name, tunings.get(name), head.validation_mse)
            for name, head in validated.items()
        },
        n_objects=str(cells.table.n_objects),
        n_images=str(len(cells.table.file)),
        validated_on=(
            f"a fifth of the images of {cells.split}, by heads that learned from the rest"
        ),
        usam_cache=version("usam-cache"),
    )


def _shared_metadata(cells: SplitCells, head_set: HeadSet, seed: int) -> dict[str, str]:
    """Metadata that all heads of a head set share, without what their validated heads show."""
    shared = {
        "split": cells.split,
        **head_set.card,
        "seed": str(seed),
        **origin_of(cells),
        OBJECTS: cells.table.digest,
        **{key: str(number) for key, number in version_entry("train").items()},
    }
    if head_set.of_kind.learns_every_prompt:
        shared[head_file.PROMPTS] = " ".join(learned_prompts(cells, head_set))
    return shared


def write_heads(
    cells: SplitCells, kind: str, trained: Mapping[HeadSet, head_file.HeadFile]
) -> None:
    """Write the heads of a kind, and calibrations of SamScores.

    Each head set has a head file. All files are replaced together, so that a kill leaves all of the
    old or all of the new ones. The calibrations and the best fixed cut of each model are fitted to
    ``cells``.

    Raises
    ------
    StoreError
        If a store is damaged.
    """
    split = cells.split
    calibration = calibration_of(cells), origin_of(cells)
    place = kind_dir(split, kind)
    with whole_folder(place) as folder:
        for head_set, heads in trained.items():
            path = head_file.head_set_path(split, head_set)
            head_file.write_head_file(folder / path.relative_to(place), heads)
        isotonic = folder / isotonic_path(split, kind).name
        calibrated_scores.write_isotonic(
            isotonic, split, *calibration, fixed_cuts=fixed_cuts_of(cells)
        )


def calibration_of(cells: SplitCells) -> calibrated_scores.Calibration:
    """Fit isotonic regressions of IoU on SamScore, by model and judged proposal.

    The proposals are those of the first click in view ``identity``.
    """
    proposals = {model: cell.proposals() for model, cell in cells.identity.items()}
    return {
        model: {
            judged: isotonic_iou(scores.judged_sam_score(judged), scores.judged_iou(judged))
            for judged in JUDGED
        }
        for model, scores in proposals.items()
    }


def fixed_cuts_of(cells: SplitCells) -> dict[str, float]:
    """By model, the cut at which its selected masks from the first click have the best mean IoU."""
    return {
        model: best_fixed_cut(cell.iou_at_cut(), cell.proposals().sam_score)
        for model, cell in cells.identity.items()
    }


def _metadata(kind: HeadKind, objective: str, tuning: Tuning | None, mse: float) -> dict[str, str]:
    plan = kind.plan or (tuning and tuning.plan)
    assert plan is not None
    return {
        "schema": "1",
        "objective": objective,
        "inputs": " ".join(kind.inputs),
        "hidden": str(kind.hidden),
        "loss": "squared_error",  # the same for all heads
        "n_members": str(kind.n_members),
        "hyperparameters": json.dumps(asdict(plan)),
        "n_trials": str(0 if kind.plan or tuning is None else tuning.n_trials),
        "validation_mse": str(mse),
    }
