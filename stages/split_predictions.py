"""Applies heads to the cells of an eval split, and makes its tables of objects and annotations."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray
from jaxtyping import Int

from pipeline.annotations import annotation_table, model_evidence
from pipeline.better_masks import ARRAYS_OF_CODES, SELECTED, MaskIous, ious_of_cuts
from pipeline.gallery import IOU_COLUMNS
from pipeline.heads.kinds import HEAD_KINDS, ISOTONIC, KINDS, HeadKind, HeadSet, head_sets
from pipeline.heads.predict import INPUT_ARRAYS, inputs_of_proposals, predict, set_inputs
from pipeline.mask_sets import Predicted
from pipeline.mask_statistics import AGREEMENTS, ENTROPIES
from pipeline.proposals import ProposalScores, Values
from pipeline.scoring import tasks
from pipeline.scoring.evidence import HeadsOfSplit, ModelScores, Predictions
from pipeline.scoring.measures import uncertainty_column
from pipeline.vocabulary import JUDGED, N_PROPOSALS, SINGLE_CLICKS, TRAIN_PROMPTS, USED
from stages.training.choices import expected_iou_at_cut
from storage.head_files.calibrated_scores import Calibration, read_isotonic
from storage.head_files.guarantees import CHOICES, ERRORS, offered_choice
from storage.head_files.head_file import PROMPTS, HeadFile, read_heads
from storage.outputs.csv_forms import SPLIT_TABLES
from storage.split.split_cells import OpenCell, SplitCells

BOX: Final = "box"
"""Prompt set of the boxes of the annotations."""


@dataclass(frozen=True)
class SplitHeads:
    """Files of trained heads that judge the masks of an eval split, from every train split."""

    files: Mapping[HeadsOfSplit, HeadFile]
    """Files by head set and train split."""
    isotonic: Mapping[str, Calibration]
    """Calibrated SamScores, by train split."""
    fixed_cuts: Mapping[str, Mapping[str, float]]
    """Best cut of each model's selected masks, by train split, then by model."""

    def of_users(self, kind: HeadKind) -> dict[str, tuple[HeadSet, HeadFile]]:
        """Heads of a kind that judge selected proposals, by train split."""
        head_set = HeadSet(USED, USED, kind.name)
        return {name: (head_set, file) for (of, name), file in self.files.items() if of == head_set}

    def metadata(self, models: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Metadata of every head as ``run.json`` has them, by train split."""
        by_split: dict[str, dict[str, Any]] = {name: {} for name in self.isotonic}
        for (head_set, name), file in self.files.items():
            for objective in head_set.objectives(models):
                entries = file.metadata(objective).items()
                by_split[name][f"{head_set}/{objective}"] = {
                    key: entry for key, entry in entries if key not in {CHOICES, ERRORS}
                }
        return by_split


def read_split_heads(
    cells: SplitCells,
    train_splits: Mapping[str, Mapping[str, str]],
    *,
    kinds: tuple[str, ...] = KINDS,
    ablations: tuple[str, ...] = (),
    further_seeds: tuple[int, ...] = (),
) -> SplitHeads:
    """Read the heads of every train split, which must know the models of the cells.

    Parameters
    ----------
    cells
        Cells of the eval split.
    train_splits
        By train split, the entries that its head files must have besides those of the cells;
        ``learned_from`` makes these entries.
    kinds
        Kinds of heads that are applied. The calibrated SamScores are those beside the first kind.
    ablations
        Token sets whose heads are applied besides the heads of the protocols' own token sets.
    further_seeds
        Seeds of the training, after the first, whose heads are applied.
    """
    origins = {name: {**cells.head_origin, **entries} for name, entries in train_splits.items()}
    sets = head_sets(ablations, kinds=kinds, further_seeds=further_seeds)
    files = {
        (head_set, name): read_heads(name, origin, head_set)
        for head_set, (name, origin) in product(sets, origins.items())
    }
    fitted = {name: read_isotonic(name, kinds[0], origin) for name, origin in origins.items()}
    return SplitHeads(
        files,
        {name: calibration for name, (calibration, _) in fitted.items()},
        {name: fixed_cuts for name, (_, fixed_cuts) in fitted.items()},
    )


def model_scores(
    cells: SplitCells, entropy: xarray.Dataset, heads: SplitHeads
) -> dict[str, ModelScores]:
    """Read the scores and entropies of each model's masks, and apply the heads to its tokens."""
    names = [row.name for row in (*ENTROPIES, *AGREEMENTS) if row.name in entropy] + ["soft_dice"]
    proposals = {model: cell.proposals() for model, cell in cells.identity.items()}
    return {
        model: ModelScores(
            proposals[model],
            {
                judged: _arrays(entropy, names, model, judged) | stable_score(cell, judged)
                for judged in JUDGED
            },
            _calibrated(model, proposals[model], heads) | _predictions(cell, heads),
            proposals[tasks.shown_model(cells.models)],
            cells.models,
        )
        for model, cell in cells.identity.items()
    }


def click_scores(
    cells: SplitCells,
    entropy: xarray.Dataset,
    heads: SplitHeads,
    click: str,
    entropies: Mapping[str, Mapping[str, Values]],
) -> dict[str, ModelScores]:
    """Scores, by model, of the selected masks that answer a click, for the measures ``FOLLOWED``.

    ``entropies`` are those of ``click_entropies``.
    """
    proposals = {model: cell.proposals(click) for model, cell in cells.identity.items()}
    return {
        model: ModelScores(
            proposals[model],
            {
                USED: {
                    # H_Xp is about all eight clicks, whichever is at hand.
                    **_arrays(entropy, ["h_xp"], model, USED),
                    **entropies[model],
                    **stable_score(cell, USED, click),
                }
            },
            _predictions(cell, heads, click),
            proposals[tasks.shown_model(cells.models)],
            cells.models,
        )
        for model, cell in cells.identity.items()
    }


def _arrays(
    entropy: xarray.Dataset, names: Iterable[str], model: str, judged: str
) -> dict[str, Values]:
    """Arrays of the entropy store about a model's judged masks, by name."""
    models = entropy["model"].to_numpy().tolist()
    of_masks = entropy.isel(model=models.index(model), judged=JUDGED.index(judged))
    return {name: of_masks[name].to_numpy() for name in names}


def stable_score(cell: OpenCell, judged: str, prompt: str = TRAIN_PROMPTS[0]) -> dict[str, Values]:
    """SamScore times stability score, as the array ``stable_score``; empty if the cell has none."""
    if "stability_score" not in cell.store.arrays:
        return {}
    column = cell.signature["prompts"].index(prompt)
    proposals, stability = cell.proposals(prompt), cell.scores("stability_score")[:, column]
    score = np.multiply(proposals.sam_score, stability, dtype=np.float64)
    return {"stable_score": proposals.of_judged(score, judged)}


def mask_ious(cells: SplitCells, entropy: xarray.Dataset, heads: SplitHeads) -> dict[str, MaskIous]:
    """By model, the IoUs of masks that compete with the selected mask of the first click.

    The train split in the key of a mask is empty if no train split is needed to make the mask.
    """
    return {
        model: {
            **_ious_of_codes(entropy, model),
            **_ious_of_cuts(cell, heads),
        }
        for model, cell in cells.identity.items()
    }


def _ious_of_codes(entropy: xarray.Dataset, model: str) -> MaskIous:
    """IoUs of selected masks and of means of masks, at the size of mask codes."""
    selected = _arrays(entropy, ARRAYS_OF_CODES.values(), model, SELECTED)
    return {("", name): selected[array] for name, array in ARRAYS_OF_CODES.items()}


def _ious_of_cuts(cell: OpenCell, heads: SplitHeads) -> MaskIous:
    """IoUs of the proposals of the first click with other cuts.

    A cut is the probability above which a pixel belongs to the mask.
    """
    prompt, model = TRAIN_PROMPTS[0], cell.signature["model"]
    choosing = {
        train_split: (head_set, file)
        for (head_set, train_split), file in heads.files.items()
        if head_set.chooses_masks and head_set.seed is None
    }
    return ious_of_cuts(
        cell.iou_at_cut(),
        cell.proposals().sam_score,
        fixed_cuts={name: cuts[model] for name, cuts in heads.fixed_cuts.items()},
        expected_iou={
            train_split: expected_iou_at_cut(cell, head_set, file.weights, prompt)
            for train_split, (head_set, file) in choosing.items()
        },
        calibrations={
            train_split: choice
            for train_split, (_, file) in choosing.items()
            if (choice := offered_choice(file.card, prompt, model)) is not None
        },
    )


def _predictions(
    cell: OpenCell, heads: SplitHeads, prompt: str = TRAIN_PROMPTS[0]
) -> dict[HeadsOfSplit, Predictions]:
    """Predictions of heads from the tokens of a prompt set."""
    weights = {key: file.weights for key, file in heads.files.items()}
    if not weights:  # the tokens are most of the store
        return {}
    blocks = []
    for block in cell.blocks(prompt, INPUT_ARRAYS):
        inputs = {head_set: set_inputs(block, head_set) for head_set, _ in weights}
        blocks.append({key: predict(of_key, inputs[key[0]]) for key, of_key in weights.items()})
    return {
        key: {
            objective: np.concatenate([block[key][objective] for block in blocks])
            for objective in of_key
        }
        for key, of_key in weights.items()
    }


def _calibrated(
    model: str, scores: ProposalScores, heads: SplitHeads
) -> dict[HeadsOfSplit, Predictions]:
    """IoU predicted by calibrated SamScores, as if ``ISOTONIC`` were a kind of heads."""
    return {
        (HeadSet(protocol, judged, ISOTONIC), name): {
            ISOTONIC: fitted[model][judged].iou_at(scores.judged_sam_score(judged))
        }
        for protocol, judged in tasks.JUDGED_BY_PROTOCOL
        for name, fitted in heads.isotonic.items()
    }


def predicted_of_largest(cells: SplitCells, heads: SplitHeads) -> dict[tuple[str, str], Predicted]:
    """Predicted IoU of the largest model's proposals, by train split and predictor.

    Predictors are ``sam_score`` (its train split is empty), ``sam_score_isotonic`` (calibrated on
    the train split), and the heads ``usam`` (kind ``paper``) and ``usam_ours`` (kind ``ours``).
    """
    model = tasks.shown_model(cells.models)
    cell = cells.identity[model]
    sam_score = cell.proposals().sam_score
    predicted: dict[tuple[str, str], Predicted] = {("", "sam_score"): sam_score}
    for name, fitted in heads.isotonic.items():
        calibrated = fitted[model][USED].iou_at(sam_score.ravel())
        predicted[name, "sam_score_isotonic"] = calibrated.reshape(sam_score.shape)
    for kind in HEAD_KINDS:
        for name, (head_set, file) in heads.of_users(kind).items():
            predicted[name, kind.named("usam")] = expected_ious(cell, head_set, file)
    return predicted


def doubted_annotations(
    cells: SplitCells, heads: SplitHeads, group: Int[np.ndarray, "object"]
) -> pd.DataFrame:
    """Table ``annotations``: masks for clicks inside annotations and for their boxes judge these.

    Boxes are used if all identity cells have them and all heads learned from boxes; else the click
    ``center`` stands for them. Heads are of the last trained kind and the first train split;
    without heads, SamScore is the expected IoU. ``group`` has the index of each object's image.
    """
    # One head set with its file, or none without heads.
    trained = [
        of_split for kind in HEAD_KINDS for of_split in [*heads.of_users(kind).values()][:1]
    ][-1:]
    knows_boxes = all(BOX in cell.signature["prompts"] for cell in cells.identity.values()) and all(
        BOX in file.card.get(PROMPTS, "").split() for _, file in trained
    )
    prompts = (BOX, *SINGLE_CLICKS) if knows_boxes else SINGLE_CLICKS
    ious = []
    for cell in cells.identity.values():
        of_prompts = [cell.proposals(prompt) for prompt in prompts]
        expected: list[Predicted] = [proposals.sam_score for proposals in of_prompts]
        for head_set, file in trained:
            expected = [expected_ious(cell, head_set, file, prompt) for prompt in prompts]
        of_selected = of_prompts[0].of_judged(expected[0], USED)
        iou = np.stack([proposals.iou for proposals in of_prompts], axis=1)
        ious.append(model_evidence(of_selected, np.stack(expected, axis=1), iou))
    expected_iou, best_iou = (np.stack(by_model, axis=1) for by_model in zip(*ious, strict=True))
    objects = cells.table.object_id, cells.table.file[cells.table.image_index], group
    return annotation_table(*objects, prompts[0], expected_iou, best_iou)


def expected_ious(
    cell: OpenCell, head_set: HeadSet, file: HeadFile, prompt: str = TRAIN_PROMPTS[0]
) -> Predicted:
    """IoU (object, proposal) that the head for a cell's model expects of each proposal.

    ``prompt`` is the prompt set that the proposals answer.
    """
    head = head_set.own_objective(cell.signature["model"])
    weights = {head: file.weights[head]}
    rows = [
        predict(weights, inputs_of_proposals(block, head_set))[head]
        for block in cell.blocks(prompt, INPUT_ARRAYS)
    ]
    expected: Predicted = np.concatenate(rows).reshape(-1, N_PROPOSALS)
    return expected


def object_columns(masks: Iterable[tasks.JudgedMasks]) -> list[str]:
    """Names of the columns of ``objects.csv``: the declared ones, then a column per measure.

    A measure of heads has a column per train split.
    """
    columns = (
        uncertainty_column(measure, train_split)
        for judged in masks
        for train_split, measure in judged.measures
    )
    return list(dict.fromkeys((*SPLIT_TABLES["objects"].columns, *columns)))


def object_blocks(
    object_id: Int[np.ndarray, "object"],
    group: Int[np.ndarray, "object"],
    masks: Sequence[tasks.JudgedMasks],
) -> Iterator[pd.DataFrame]:
    """Yield the rows of ``objects.csv`` in blocks: one per entry of ``masks``, a row per object.

    ``group`` has the index of each object's image, or video. Measures that an entry lacks are NaN.
    The whole table at once would take more memory than all other data.
    """
    order = object_columns(masks)
    for judged in masks:
        ious = judged.scores.proposals.by_proposal()
        columns = {
            "protocol": judged.protocol,
            "judged": judged.judged,
            "object_id": object_id,
            "model": judged.model,
            "iou": judged.iou,
            **{IOU_COLUMNS[name]: iou for name, iou in ious.items()},
            "group": group,
            "sam_score": judged.scores.proposals.judged_sam_score(judged.judged),
            **{
                uncertainty_column(measure, train_split): uncertainty
                for (train_split, measure), uncertainty in judged.measures.items()
            },
        }
        yield pd.DataFrame(columns).reindex(columns=order)
