"""Predictions of models and heads for the objects of an eval split, and the table of objects."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray
from jaxtyping import Float, Int, Shaped

from pipeline.annotations import AnnotationEvidence
from pipeline.better_masks import ARRAYS_OF_CODES, SELECTED, MaskIous, ious_of_cuts
from pipeline.gallery import IOU_COLUMNS
from pipeline.heads.kinds import HEAD_KINDS, ISOTONIC, KINDS, HeadSet, head_sets
from pipeline.heads.predict import INPUT_ARRAYS, inputs_of_proposals, predict, set_inputs
from pipeline.mask_sets import Predicted
from pipeline.mask_statistics import AGREEMENTS, ENTROPIES, MASK_SCORES, PIXEL_SCORES, REGIONS
from pipeline.proposals import ProposalScores, Values
from pipeline.scoring import tasks
from pipeline.scoring.calibration import PixelNumbers
from pipeline.scoring.evidence import ModelScores
from pipeline.scoring.measures import uncertainty_column
from pipeline.vocabulary import JUDGED, N_PROPOSALS, TRAIN_PROMPTS, USED
from stages.training.choices import expected_iou_at_cut
from stages.training.data import group_index
from storage.head_files.calibrated_scores import Calibration, read_fixed_cuts, read_isotonic
from storage.head_files.head_file import PROMPTS, HeadFile, read_heads
from storage.outputs.csv_forms import SPLIT_TABLES
from storage.split.split_cells import OpenCell, SplitCells, read_entropies

BOX: Final = "box"
"""Prompt set of the boxes of the annotations."""

ENTROPY_NAMES: Final = tuple(entropy.name for entropy in ENTROPIES)
AGREEMENT_NAMES: Final = tuple(row.name for row in (*AGREEMENTS, *MASK_SCORES))
"""Arrays of the entropy store that measures are computed from; the store may lack some of them."""


@dataclass(frozen=True)
class SplitPredictions:
    """Scores and predictions of models and heads for the objects of a split, and their origin."""

    object_id: Int[np.ndarray, "object"]
    file: Shaped[np.ndarray, "object"]
    """File of each object's image."""
    group: Int[np.ndarray, "object"]
    """Number of the image, or of the video, of each object."""
    models: Mapping[str, ModelScores]
    """Scores, entropies and predictions of heads, by model."""
    views: Mapping[tuple[str, str], ProposalScores]
    """Scores of the proposals, by model and view; the view identity comes first."""
    pixels: Mapping[tuple[str, str, str], PixelNumbers]
    """Statistics of the pixels of the masks, by judged proposal, model and region of pixels."""
    predicted: Mapping[tuple[str, str], Predicted]
    """Predicted IoU of every proposal of the largest model, by train split and predictor.

    The keys are those of ``_predicted_of_largest``.
    """
    annotations: AnnotationEvidence
    """Expected and reached IoU of each model's masks for the prompts of the annotations."""
    mask_ious: Mapping[str, MaskIous]
    """By model, the IoUs of masks that compete with the selected mask."""
    inputs: Mapping[str, Any]
    """Signatures of the stores and metadata of the heads, as ``run.json`` has them."""


def read_predictions(
    cells: SplitCells,
    train_splits: Mapping[str, Mapping[str, str]],
    *,
    kinds: tuple[str, ...] = KINDS,
    ablations: tuple[str, ...] = (),
    further_seeds: tuple[int, ...] = (),
) -> SplitPredictions:
    """Read a split's scores and entropies, and apply the heads of every train split.

    Parameters
    ----------
    cells
        Cells of the eval split, in all views of the settings; their masks are not read.
    train_splits
        By train split, the entries that its head files must have besides those of the cells;
        ``learned_from`` makes these entries.
    kinds
        Kinds of heads that are applied.
    ablations
        Token sets whose heads are applied besides the heads of the protocols' own token sets.
    further_seeds
        Seeds of the training, after the first, whose heads are applied.
    """
    origins = {name: {**cells.head_origin, **entries} for name, entries in train_splits.items()}
    heads = {
        head_set: {name: read_heads(name, origin, head_set) for name, origin in origins.items()}
        for head_set in head_sets(ablations, kinds=kinds, further_seeds=further_seeds)
    }
    isotonic = {name: read_isotonic(name, origin) for name, origin in origins.items()}
    fixed_cuts = {name: read_fixed_cuts(name, origin) for name, origin in origins.items()}
    entropy = read_entropies(cells)
    views = sorted(cells.views, key=lambda view: view != "identity")
    proposals = {key: cells.by_name[key].proposals() for key in product(cells.models, views)}
    return SplitPredictions(
        cells.table.object_id,
        cells.table.file[cells.table.image_index],
        group_index(cells.table),
        _model_scores(cells, entropy, proposals, heads, isotonic),
        proposals,
        _pixel_numbers(entropy, cells.models),
        _predicted_of_largest(cells, heads, isotonic),
        _annotation_evidence(cells, heads),
        {
            model: _ious_of_codes(entropy, model)
            | _ious_of_cuts(cell, heads, {name: cuts[model] for name, cuts in fixed_cuts.items()})
            for model, cell in cells.identity.items()
        },
        _signatures(cells, entropy, heads, train_splits),
    )


def _model_scores(
    cells: SplitCells,
    entropy: xarray.Dataset,
    proposals: Mapping[tuple[str, str], ProposalScores],
    heads: Mapping[HeadSet, Mapping[str, HeadFile]],
    isotonic: Mapping[str, Calibration],
) -> dict[str, ModelScores]:
    agreements = tuple(name for name in AGREEMENT_NAMES if name in entropy)
    largest = tasks.shown_model(cells.models)
    return {
        model: ModelScores(
            proposals[model, "identity"],
            _by_judged(entropy, ENTROPY_NAMES, model),
            _by_judged(entropy, agreements, model, _stable_scores(cell)),
            _calibrated(model, proposals[model, "identity"], isotonic) | _predictions(cell, heads),
            proposals[largest, "identity"],
            cells.models,
        )
        for model, cell in cells.identity.items()
    }


def _signatures(
    cells: SplitCells,
    entropy: xarray.Dataset,
    heads: Mapping[HeadSet, Mapping[str, HeadFile]],
    train_splits: Iterable[str],
) -> dict[str, Any]:
    return {
        "models": {model: cell.signature for model, cell in cells.identity.items()},
        "entropy": entropy.attrs["signature"],
        "heads": {name: _metadata_of(heads, name, cells.models) for name in train_splits},
    }


def _metadata_of(
    heads: Mapping[HeadSet, Mapping[str, HeadFile]], train_split: str, models: Sequence[str]
) -> dict[str, Any]:
    return {
        f"{head_set}/{objective}": by_split[train_split].metadata(objective)
        for head_set, by_split in heads.items()
        for objective in head_set.objectives(models)
    }


def _by_judged(
    entropy: xarray.Dataset,
    names: tuple[str, ...],
    model: str,
    extra_arrays: Mapping[str, Mapping[str, Float[np.ndarray, "object"]]] = MappingProxyType({}),
) -> dict[str, dict[str, Float[np.ndarray, "object"]]]:
    """Read arrays of a model's masks from the entropy store, by judged proposal and array name.

    ``extra_arrays``, with the same keys, are added.
    """
    arrays = {judged: _of_judged(entropy, model, judged) for judged in JUDGED}
    return {
        judged: {name: of_judged[name].to_numpy() for name in names}
        | dict(extra_arrays.get(judged, {}))
        for judged, of_judged in arrays.items()
    }


def _stable_scores(cell: OpenCell) -> dict[str, dict[str, Float[np.ndarray, "object"]]]:
    """SamScore times stability score, as the array ``stable_score``, by judged proposal.

    Empty for a cell without stability scores.
    """
    if "stability_score" not in cell.store.arrays:
        return {}
    center = cell.signature["prompts"].index("center")
    proposals, stability = cell.proposals(), cell.scores("stability_score")[:, center]
    stable_score = np.multiply(proposals.sam_score, stability, dtype=np.float64)
    return {
        judged: {"stable_score": proposals.of_judged(stable_score, judged)} for judged in JUDGED
    }


def _ious_of_codes(entropy: xarray.Dataset, model: str) -> dict[tuple[str, str], Values]:
    """IoUs of selected masks and of means of masks, at the size of mask codes, by ``("", name)``.

    The first key, the train split, is empty: no head makes these masks.
    """
    selected = _of_judged(entropy, model, SELECTED)
    return {("", name): selected[array].to_numpy() for name, array in ARRAYS_OF_CODES.items()}


def _ious_of_cuts(
    cell: OpenCell,
    heads: Mapping[HeadSet, Mapping[str, HeadFile]],
    fixed_cuts: Mapping[str, float],
) -> dict[tuple[str, str], Values]:
    """IoU of each object by train split and mask: first-click masks with other cuts or proposals.

    A cut is the probability above which a pixel belongs to the mask. The train split is empty for
    masks that use none. ``fixed_cuts`` has the best cut of selected masks on each train split.
    """
    expected_iou = {
        train_split: expected_iou_at_cut(cell, head_set, file.weights, TRAIN_PROMPTS[0])
        for head_set, by_split in heads.items()
        if head_set.chooses_masks and head_set.seed is None
        for train_split, file in by_split.items()
    }
    return ious_of_cuts(
        cell.iou_at_cut(),
        cell.proposals().sam_score,
        fixed_cuts=fixed_cuts,
        expected_iou=expected_iou,
    )


def _pixel_numbers(
    entropy: xarray.Dataset, models: Iterable[str]
) -> dict[tuple[str, str, str], PixelNumbers]:
    numbers: dict[tuple[str, str, str], PixelNumbers] = {}
    for judged, model, (place, region) in product(JUDGED, models, enumerate(REGIONS)):
        arrays = _of_judged(entropy, model, judged).isel(region=place)
        numbers[judged, model, region] = {
            score.name: arrays[score.name].to_numpy() for score in PIXEL_SCORES
        }
    return numbers


def _of_judged(entropy: xarray.Dataset, model: str, judged: str) -> xarray.Dataset:
    models = entropy["model"].to_numpy().tolist()
    return entropy.isel(model=models.index(model), judged=JUDGED.index(judged))


def _predictions(
    cell: OpenCell, heads: Mapping[HeadSet, Mapping[str, HeadFile]]
) -> dict[HeadSet, dict[str, dict[str, Float[np.ndarray, "object"]]]]:
    """Predictions of heads from inputs of ``center``, by head set, train split and objective."""
    if not any(heads.values()):  # the tokens are most of the store
        return {head_set: {} for head_set in heads}
    blocks: dict[tuple[HeadSet, str], list[dict[str, Float[np.ndarray, "row"]]]] = {}
    for block in cell.blocks("center", INPUT_ARRAYS):
        for head_set, by_split in heads.items():
            inputs = set_inputs(block, head_set)
            for name, trained in by_split.items():
                blocks.setdefault((head_set, name), []).append(predict(trained.weights, inputs))
    return {
        head_set: {name: _joined(blocks[head_set, name]) for name in by_split}
        for head_set, by_split in heads.items()
    }


def _calibrated(
    model: str, scores: ProposalScores, isotonic: Mapping[str, Calibration]
) -> dict[HeadSet, dict[str, dict[str, Float[np.ndarray, "object"]]]]:
    """IoU predicted by calibrated SamScores, by head set, train split and the name ``ISOTONIC``.

    ``isotonic`` has the calibration by train split.
    """
    return {
        HeadSet(protocol, judged, ISOTONIC): {
            name: {ISOTONIC: fitted[model][judged].iou_at(scores.judged_sam_score(judged))}
            for name, fitted in isotonic.items()
        }
        for protocol, judged in tasks.JUDGED_BY_PROTOCOL
    }


def _predicted_of_largest(
    cells: SplitCells,
    heads: Mapping[HeadSet, Mapping[str, HeadFile]],
    isotonic: Mapping[str, Calibration],
) -> dict[tuple[str, str], Predicted]:
    """Predicted IoU of the largest model's proposals, by train split and predictor.

    Predictors are ``sam_score`` (its train split is empty), ``sam_score_isotonic`` (calibrated on
    the train split), and the heads ``usam`` (kind ``paper``) and ``usam_ours`` (kind ``ours``).
    """
    model = tasks.shown_model(cells.models)
    sam_score = cells.identity[model].proposals().sam_score
    predicted: dict[tuple[str, str], Predicted] = {("", "sam_score"): sam_score}
    for name, fitted in isotonic.items():
        calibrated = fitted[model][USED].iou_at(sam_score.ravel())
        predicted[name, "sam_score_isotonic"] = calibrated.reshape(sam_score.shape)
    for kind in HEAD_KINDS:
        head_set = HeadSet(USED, USED, kind.name)
        for name, file in heads.get(head_set, {}).items():
            expected = expected_ious(cells.identity[model], head_set, file)
            predicted[name, kind.named("usam")] = expected
    return predicted


def _annotation_evidence(
    cells: SplitCells, heads: Mapping[HeadSet, Mapping[str, HeadFile]]
) -> AnnotationEvidence:
    """Expected and reached IoUs of masks for the boxes of annotations, or for their first clicks.

    Boxes are used if all identity cells have them and all heads learned from boxes. The heads are
    those of ``_last_trained``; without heads, SamScore is the expected IoU.
    """
    trained = _last_trained(heads)
    knows_boxes = all(
        BOX in prompts
        for prompts in (
            *(cell.signature["prompts"] for cell in cells.identity.values()),
            *(file.card.get(PROMPTS, "").split() for file in trained.values()),
        )
    )
    prompt = BOX if knows_boxes else TRAIN_PROMPTS[0]
    by_model = []
    for cell in cells.identity.values():
        proposals = cell.proposals(prompt)
        expected: Predicted = proposals.sam_score
        for head_set, file in trained.items():
            expected = expected_ious(cell, head_set, file, prompt)
        by_model.append(
            (
                proposals.of_judged(expected, USED),
                proposals.judged_iou(USED),
                proposals.iou.max(axis=1),
            )
        )
    expected_iou, iou, best_iou = (np.stack(ious, axis=1) for ious in zip(*by_model, strict=True))
    return AnnotationEvidence(prompt, expected_iou, iou, best_iou.max(axis=1))


def _last_trained(heads: Mapping[HeadSet, Mapping[str, HeadFile]]) -> dict[HeadSet, HeadFile]:
    """Head set and file of the last trained kind of heads that judge selected proposals.

    They come from the first train split. The mapping has one entry, or none without such heads.
    """
    for kind in reversed(HEAD_KINDS):
        head_set = HeadSet(USED, USED, kind.name)
        for file in heads.get(head_set, {}).values():
            return {head_set: file}
    return {}


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


def _joined(
    blocks: list[dict[str, Float[np.ndarray, "row"]]],
) -> dict[str, Float[np.ndarray, "object"]]:
    return {key: np.concatenate([block[key] for block in blocks]) for key in blocks[0]}


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
    predictions: SplitPredictions, masks: Sequence[tasks.JudgedMasks]
) -> Iterator[pd.DataFrame]:
    """Yield the rows of ``objects.csv`` in blocks: one per entry of ``masks``, a row per object.

    Measures that an entry lacks are NaN. The whole table at once would take more memory than all
    other data.
    """
    order = object_columns(masks)
    for judged in masks:
        ious = judged.scores.proposals.by_proposal()
        columns = {
            "protocol": judged.protocol,
            "judged": judged.judged,
            "object_id": predictions.object_id,
            "model": judged.model,
            "iou": judged.iou,
            **{IOU_COLUMNS[name]: iou for name, iou in ious.items()},
            "group": predictions.group,
            "sam_score": judged.scores.proposals.judged_sam_score(judged.judged),
            **{
                uncertainty_column(measure, train_split): uncertainty
                for (train_split, measure), uncertainty in judged.measures.items()
            },
        }
        yield pd.DataFrame(columns).reindex(columns=order)
