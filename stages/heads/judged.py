"""What the models say of an eval split: read from the cache, judged by the heads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray
from jaxtyping import Float, Int

from pipeline.entropies import ENTROPIES
from pipeline.heads.predict import HeadWeights, predict
from pipeline.scoring.evidence import ModelScores, ProposalScores
from pipeline.vocabulary import OBJECTIVES
from stages.heads.data import block_inputs
from storage.errors import StoreError
from storage.outputs.heads import read_head
from storage.paths import head_path
from storage.split.cells import OpenCell, SplitCells
from storage.split.entropies import read_entropies
from storage.split.groups import group_index
from storage.split.provenance import check_head, head_origin


@dataclass(frozen=True)
class Heads:
    """The heads of one train split that read one token set."""

    weights: Mapping[str, HeadWeights]
    metadata: Mapping[str, Mapping[str, str]]
    """Objective -> what the head was trained on."""


@dataclass(frozen=True)
class SplitScores:
    """What the models say of a split, and from which inputs."""

    object_id: Int[np.ndarray, "object"]
    group: Int[np.ndarray, "object"]
    """Image of each object, or video."""
    models: Mapping[str, ModelScores]
    views: Mapping[tuple[str, str], ProposalScores]
    """By model and view, identity first."""
    inputs: Mapping[str, Any]
    """Signatures of the stores and metadata of the heads, as in ``run.json``."""


def read_scores(
    cells: SplitCells, train_splits: tuple[str, ...], *, tokens: tuple[str, ...] = ("best",)
) -> SplitScores:
    """Read a split's scores and entropies and apply the heads of every train split.

    Parameters
    ----------
    tokens
        Token sets whose heads are applied, ``best`` among them.

    Raises
    ------
    StoreError
        If a store is damaged, or the entropies are of other cells.
    WeightsError
        If a head is missing or damaged.
    DataError
        If a head was trained on features of another family, version, precision or weights.
    """
    identity = {model: cells.by_name[model, "identity"] for model in cells.models}
    signatures = {model: cell.signature for model, cell in identity.items()}
    origin = head_origin(signatures)
    heads = {one: {name: read_heads(name, origin, one) for name in train_splits} for one in tokens}
    entropy = read_entropies(cells)
    proposals = {key: _proposal_scores(cells.by_name[key]) for key in _identity_first(cells)}
    said = {}
    for model, cell in identity.items():
        predictions = _predictions(cell, heads)
        best = predictions.pop("best")
        said[model] = ModelScores(
            proposals[model, "identity"],
            entropies_of(entropy, model),
            best,
            other_predictions=predictions,
        )
    inputs = {
        "models": signatures,
        "entropy": entropy.attrs["signature"],
        **_heads_told(heads),
    }
    table = cells.table
    return SplitScores(table.object_id, group_index(table), said, proposals, inputs)


def _identity_first(cells: SplitCells) -> list[tuple[str, str]]:
    views = sorted(cells.views, key=lambda view: view != "identity")
    return [(model, view) for model in cells.models for view in views]


def _heads_told(heads: Mapping[str, Mapping[str, Heads]]) -> dict[str, Any]:
    """Metadata of all heads, those of the method apart from the others."""
    metadata = {
        tokens: {name: trained.metadata for name, trained in of_set.items()}
        for tokens, of_set in heads.items()
    }
    return {"heads": metadata.pop("best"), "other_heads": metadata}


def read_heads(train_split: str, origin: Mapping[str, str], tokens: str = "best") -> Heads:
    """Read every head of a train split that reads a token set.

    Parameters
    ----------
    origin
        What they must have learned from: heads know the tokens of the features that they were
        trained on, and no others.

    Raises
    ------
    WeightsError
        If a head is missing or damaged.
    DataError
        If one lies in the place of another, or was trained on other features.
    """
    weights, metadata = {}, {}
    for objective in OBJECTIVES:
        path = head_path(train_split, objective, tokens)
        weights[objective], unsorted = read_head(path)
        place = {"split": train_split, "tokens": tokens, "objective": objective}
        check_head(path, unsorted, place=place, origin=origin)
        # Safetensors gives the keys in another order each time.
        metadata[objective] = dict(sorted(unsorted.items()))
    return Heads(weights, metadata)


def entropies_of(entropy: xarray.Dataset, model: str) -> dict[str, Float[np.ndarray, "object"]]:
    """Every entropy as it concerns one model: its own, or that of all models together."""
    known = entropy["model"].to_numpy().tolist()
    if model not in known:
        raise StoreError(f"entropies must include the model {model}, got {', '.join(known)}")
    of_model = entropy.isel(model=known.index(model))
    return {entropy.name: of_model[entropy.name].to_numpy() for entropy in ENTROPIES}


def _proposal_scores(cell: OpenCell) -> ProposalScores:
    center, refined = (cell.signature["prompts"].index(name) for name in ("center", "refined"))
    iou = cell.scores("iou")
    return ProposalScores(
        # Copies, lest those of seven other prompt sets stay in memory behind them.
        iou=iou[:, center].copy(),
        sam_score=cell.scores("sam_score")[:, center].copy(),
        refined_iou=iou[:, refined].copy(),
    )


def _predictions(
    cell: OpenCell, heads: Mapping[str, Mapping[str, Heads]]
) -> dict[str, dict[str, dict[str, Float[np.ndarray, "object"]]]]:
    """What the heads read from the tokens of the click ``center``: token set -> train split."""
    if not any(heads.values()):  # the tokens are most of the store
        return {tokens: {} for tokens in heads}
    blocks: dict[tuple[str, str], list[dict[str, Float[np.ndarray, "row"]]]] = {}
    for block in cell.blocks("center"):
        for tokens, of_set in heads.items():
            inputs = block_inputs(block, tokens)
            for name, trained in of_set.items():
                blocks.setdefault((tokens, name), []).append(predict(trained.weights, inputs))
    return {
        tokens: {name: _joined(blocks[tokens, name]) for name in of_set}
        for tokens, of_set in heads.items()
    }


def _joined(
    parts: list[dict[str, Float[np.ndarray, "row"]]],
) -> dict[str, Float[np.ndarray, "object"]]:
    """Predictions of objects one part after the other."""
    return {key: np.concatenate([part[key] for part in parts]) for key in OBJECTIVES}
