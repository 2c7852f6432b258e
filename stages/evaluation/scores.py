"""What the models say of an eval split: read from the cache, judged by the heads."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import numpy as np
import xarray
from jaxtyping import Float, Int

from pipeline.heads.inputs import READ, set_inputs
from pipeline.heads.kinds import KINDS, HeadSet, head_sets
from pipeline.heads.predict import predict
from pipeline.mask_statistics import AGREEMENTS, ENTROPIES, MASK_SCORES, PIXEL_SCORES, REGIONS
from pipeline.scoring.calibration import PixelCalibration
from pipeline.scoring.evidence import ModelScores, ProposalScores
from pipeline.scoring.judged_masks import heads_read
from pipeline.vocabulary import JUDGED
from stages.training.data import group_index
from storage.errors import StoreError
from storage.head_files.head_file import HeadFile, read_heads
from storage.split.cells import OpenCell, SplitCells, read_entropies

ENTROPY_NAMES: Final = tuple(entropy.name for entropy in ENTROPIES)
AGREEMENT_NAMES: Final = tuple(row.name for row in (*AGREEMENTS, *MASK_SCORES))
"""Arrays of the entropy store that measures are computed from."""


@dataclass(frozen=True)
class SplitScores:
    """What the models and heads say of a split, and from which inputs."""

    object_id: Int[np.ndarray, "object"]
    group: Int[np.ndarray, "object"]
    """Image, or video, of each object."""
    models: Mapping[str, ModelScores]
    views: Mapping[tuple[str, str], ProposalScores]
    """By model and view, identity first."""
    pixels: Mapping[tuple[str, str, str], PixelCalibration]
    """By judged proposal, model and region."""
    inputs: Mapping[str, Any]
    """Signatures of the stores and metadata of the heads, as in ``run.json``."""


def read_scores(
    cells: SplitCells,
    train_splits: Mapping[str, Mapping[str, str]],
    *,
    kinds: tuple[str, ...] = KINDS,
    ablations: tuple[str, ...] = (),
) -> SplitScores:
    """Read a split's scores and entropies and apply the heads of every train split.

    Parameters
    ----------
    train_splits
        What the cards of the heads of each must say besides, see ``learned_from``.
    kinds
        Kinds of heads that are applied.
    ablations
        Token sets whose heads are applied, too, besides those of the protocols.

    Raises
    ------
    StoreError
        If a store is damaged, or the entropies are from other cells.
    WeightsError
        If a head is missing or damaged.
    DataError
        If a head was trained on features of another family, version, precision or weights, or of
        other objects than its split has.
    """
    origin = cells.head_origin
    heads = {
        one: {name: read_heads(name, {**origin, **own}, one) for name, own in train_splits.items()}
        for one in head_sets(ablations, kinds=kinds)
    }
    entropy = read_entropies(cells)
    proposals = {key: _proposal_scores(cells.by_name[key]) for key in _identity_first(cells)}
    said = {
        model: ModelScores(
            proposals[model, "identity"],
            _by_judged(entropy, ENTROPY_NAMES, model),
            _by_judged(entropy, AGREEMENT_NAMES, model),
            _predictions(cell, heads),
        )
        for model, cell in cells.identity.items()
    }
    inputs = {
        "models": {model: cell.signature for model, cell in cells.identity.items()},
        "entropy": entropy.attrs["signature"],
        "heads": {name: _metadata_of(heads, name) for name in train_splits},
    }
    table, pixels = cells.table, _every_pixels(entropy, cells.models)
    return SplitScores(table.object_id, group_index(table), said, proposals, pixels, inputs)


def _identity_first(cells: SplitCells) -> list[tuple[str, str]]:
    views = sorted(cells.views, key=lambda view: view != "identity")
    return [(model, view) for model in cells.models for view in views]


def _metadata_of(
    heads: Mapping[HeadSet, Mapping[str, HeadFile]], train_split: str
) -> dict[str, Any]:
    """Metadata of all heads of a train split, by head set and objective."""
    return {
        f"{one}/{objective}": by_split[train_split].metadata(objective)
        for one, by_split in heads.items()
        for objective in one.objectives
    }


def numbers_of(
    entropy: xarray.Dataset, names: tuple[str, ...], model: str, judged: str
) -> dict[str, Float[np.ndarray, "object"]]:
    """Numbers for one model, its own or those of all models, and the judged proposal, by name."""
    own = _of_judged(entropy, model, judged)
    return {name: own[name].to_numpy() for name in names}


def _by_judged(
    entropy: xarray.Dataset, names: tuple[str, ...], model: str
) -> dict[str, dict[str, Float[np.ndarray, "object"]]]:
    return {judged: numbers_of(entropy, names, model, judged) for judged in JUDGED}


def pixels_of(entropy: xarray.Dataset, model: str, judged: str, region: str) -> PixelCalibration:
    """Probabilities and truth of one model's judged masks in one region."""
    own = _of_judged(entropy, model, judged).isel(region=REGIONS.index(region))
    return PixelCalibration(**{score.name: own[score.name].to_numpy() for score in PIXEL_SCORES})


def _every_pixels(
    entropy: xarray.Dataset, models: Iterable[str]
) -> dict[tuple[str, str, str], PixelCalibration]:
    return {
        (judged, model, region): pixels_of(entropy, model, judged, region)
        for judged, model, region in product(JUDGED, models, REGIONS)
    }


def _of_judged(entropy: xarray.Dataset, model: str, judged: str) -> xarray.Dataset:
    known = entropy["model"].to_numpy().tolist()
    if model not in known:
        raise StoreError(f"entropies must include the model {model}, got {', '.join(known)}")
    return entropy.isel(model=known.index(model), judged=JUDGED.index(judged))


def _proposal_scores(cell: OpenCell) -> ProposalScores:
    center, refined = (cell.signature["prompts"].index(name) for name in ("center", "refined"))
    iou, sam_score = cell.scores("iou"), cell.scores("sam_score")
    return ProposalScores(
        # Copies: views would keep those of seven other prompt sets in memory.
        iou=iou[:, center].copy(),
        sam_score=sam_score[:, center].copy(),
        refined_iou=iou[:, refined].copy(),
        refined_sam_score=sam_score[:, refined].copy(),
    )


def _predictions(
    cell: OpenCell, heads: Mapping[HeadSet, Mapping[str, HeadFile]]
) -> dict[HeadSet, dict[str, dict[str, Float[np.ndarray, "object"]]]]:
    """What measures take from the heads, which read the tokens of the click ``center``.

    Returns
    -------
    Head set -> train split -> objective.
    """
    if not any(heads.values()):  # the tokens are most of the store
        return {one: {} for one in heads}
    names = {one: heads_read(cell.signature["model"], one) for one in heads}
    blocks: dict[tuple[HeadSet, str], list[dict[str, Float[np.ndarray, "row"]]]] = {}
    for block in cell.blocks("center"):
        for one, by_split in heads.items():
            inputs = set_inputs({name: block[name].to_numpy() for name in READ}, one)
            for name, trained in by_split.items():
                asked = {key: own for key, own in trained.weights.items() if key in names[one]}
                blocks.setdefault((one, name), []).append(predict(asked, inputs))
    return {
        one: {name: _joined(blocks[one, name]) for name in by_split}
        for one, by_split in heads.items()
    }


def _joined(
    parts: list[dict[str, Float[np.ndarray, "row"]]],
) -> dict[str, Float[np.ndarray, "object"]]:
    """Predictions of all objects, joined from their parts."""
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
