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
from pipeline.views import entropy_views
from pipeline.vocabulary import OBJECTIVES
from stages.heads.data import block_inputs, origin_of
from storage import open_entropy, open_features
from storage.errors import DataError, StoreError
from storage.outputs.heads import read_head
from storage.paths import entropy_path, features_path, head_path, objects_path
from storage.split.groups import group_index
from storage.split.objects import objects_digest, read_objects
from storage.split.provenance import TOLD_KEYS, cells_digest
from storage.store.inspection import naming_damage


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
    split: str,
    models: tuple[str, ...],
    views: tuple[str, ...],
    train_splits: tuple[str, ...],
    *,
    tokens: tuple[str, ...] = ("best",),
) -> SplitScores:
    """Read a split's scores and entropies and apply the heads of every train split.

    Parameters
    ----------
    tokens
        Token sets whose heads are applied, ``best`` among them.

    Raises
    ------
    StoreError
        If stores are incomplete or damaged, or disagree on the version of the extraction, the
        family, precision or objects, or the entropies are of other cells.
    WeightsError
        If a head is missing or damaged.
    DataError
        If a head was trained on features of another family, version, precision or weights.
    """
    table = read_objects(objects_path(split))
    entropy = open_entropy(entropy_path(split), expected={"objects_digest": objects_digest(table)})
    signature = entropy.attrs["signature"]
    shared = {key: signature.get(key, "none") for key in TOLD_KEYS}
    heads = {
        one: {name: read_heads(name, shared["family"], one) for name in train_splits}
        for one in tokens
    }
    cells = _open_cells(split, models, views, shared)
    identity = {model: cells[model, "identity"] for model in models}
    _check_heads(heads, identity)
    with naming_damage(entropy_path(split)):
        object_id = entropy["object_id"].to_numpy()
        entropies = {model: entropies_of(entropy, model) for model in models}
    _check_entropies(split, signature, cells)
    proposals = {key: _proposal_scores(split, *key, cell) for key, cell in cells.items()}
    said = {}
    for model, cell in identity.items():
        predictions = _predictions(split, model, cell, heads)
        best = predictions.pop("best")
        said[model] = ModelScores(
            proposals[model, "identity"], entropies[model], best, other_predictions=predictions
        )
    inputs = {
        "models": {model: cell.attrs["signature"] for model, cell in identity.items()},
        "entropy": signature,
        **_heads_told(heads),
    }
    return SplitScores(object_id, group_index(table), said, proposals, inputs)


def _heads_told(heads: Mapping[str, Mapping[str, Heads]]) -> dict[str, Any]:
    """Metadata of all heads, those of the method apart from the others."""
    metadata = {
        tokens: {name: trained.metadata for name, trained in of_set.items()}
        for tokens, of_set in heads.items()
    }
    return {"heads": metadata.pop("best"), "other_heads": metadata}


def read_heads(train_split: str, family: str, tokens: str = "best") -> Heads:
    """Read every head of a train split that reads a token set.

    Raises
    ------
    DataError
        If a head was trained on another family: its tokens are not those of ``family``.
    """
    weights, metadata = {}, {}
    for objective in OBJECTIVES:
        path = head_path(train_split, objective, tokens)
        weights[objective], unsorted = read_head(path)
        # Safetensors gives the keys in another order each time.
        metadata[objective] = dict(sorted(unsorted.items()))
        found = unsorted.get("family", "none")
        if found != family:
            raise DataError(f"{path} must be trained on the family {family}, got {found}")
    return Heads(weights, metadata)


def _open_cells(
    split: str, models: tuple[str, ...], views: tuple[str, ...], shared: Mapping[str, Any]
) -> dict[tuple[str, str], xarray.Dataset]:
    """Features by model and view, identity first: what other views are compared with."""
    cells = {}
    for model in models:
        expected = dict(shared)
        for view in sorted(views, key=lambda view: view != "identity"):
            cell = open_features(features_path(split, model, view), expected=expected)
            expected["weights"] = cell.attrs["signature"]["weights"]
            cells[model, view] = cell
    return cells


def _check_heads(
    heads: Mapping[str, Mapping[str, Heads]], identity: Mapping[str, xarray.Dataset]
) -> None:
    """Heads know the tokens of the features that they were trained on, and no others."""
    expected: dict[str, str] = {}
    for model, cell in identity.items():
        expected |= origin_of(model, cell.attrs["signature"])
    for of_set in heads.values():
        for train_split, trained in of_set.items():
            for objective, metadata in trained.metadata.items():
                for key, value in expected.items():
                    known = metadata.get(key, "none")
                    if known != value:
                        raise DataError(
                            f"head {objective} of {train_split} must be trained on features of "
                            f"the same {key} ({known} -> {value}); train it again"
                        )


def _check_entropies(
    split: str, signature: Mapping[str, Any], cells: Mapping[tuple[str, str], xarray.Dataset]
) -> None:
    """Entropies are of the cells beside which they are scored."""
    averaged = entropy_views({view for _, view in cells})
    found = cells_digest({key: cell for key, cell in cells.items() if key[1] in averaged})
    if found != signature["cells_digest"]:
        raise StoreError(
            f"{entropy_path(split)} must be computed from the cells of these models and views "
            f"(cells_digest: {signature['cells_digest']} -> {found}); run `entropy` again"
        )


def entropies_of(entropy: xarray.Dataset, model: str) -> dict[str, Float[np.ndarray, "object"]]:
    """Every entropy as it concerns one model: its own, or that of all models together."""
    known = entropy["model"].to_numpy().tolist()
    if model not in known:
        raise StoreError(f"entropies must include the model {model}, got {', '.join(known)}")
    of_model = entropy.isel(model=known.index(model))
    return {entropy.name: of_model[entropy.name].to_numpy() for entropy in ENTROPIES}


def _proposal_scores(split: str, model: str, view: str, cell: xarray.Dataset) -> ProposalScores:
    center, refined = (_prompt(cell, prompt) for prompt in ("center", "refined"))
    with naming_damage(features_path(split, model, view)):
        return ProposalScores(
            iou=center["iou"].to_numpy(),
            sam_score=center["sam_score"].to_numpy(),
            refined_iou=refined["iou"].to_numpy(),
        )


def _predictions(
    split: str, model: str, cell: xarray.Dataset, heads: Mapping[str, Mapping[str, Heads]]
) -> dict[str, dict[str, dict[str, Float[np.ndarray, "object"]]]]:
    """What the heads read from the tokens of the click ``center``: token set -> train split."""
    if not any(heads.values()):  # the tokens are most of the store
        return {tokens: {} for tokens in heads}
    center = _prompt(cell, "center")
    # Whole chunks: each is decompressed once, and no more tokens than its are in memory.
    n_rows = center["mask_token"].encoding["chunks"][0]
    blocks: dict[tuple[str, str], list[dict[str, Float[np.ndarray, "row"]]]] = {}
    with naming_damage(features_path(split, model, "identity")):
        for start in range(0, center.sizes["object"], n_rows):
            block = center.isel(object=slice(start, start + n_rows)).load()
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


def _prompt(cell: xarray.Dataset, prompt: str) -> xarray.Dataset:
    return cell.isel(prompt=cell["prompt"].to_numpy().tolist().index(prompt))
