"""What the models say of an eval split: read from the cache, judged by the heads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray
from jaxtyping import Float, Int

from pipeline.heads import HeadWeights, predict
from pipeline.measures import ENTROPY_MEASURES, ModelScores
from pipeline.objectives import head_inputs
from pipeline.vocabulary import OBJECTIVES
from storage import open_entropy, open_features
from storage.errors import DataError, StoreError
from storage.heads import read_head
from storage.inspection import naming_damage
from storage.layout import entropy_path, features_path, head_path

SHARED_KEYS: Final = ("family", "precision", "objects_digest")
"""Signature entries that the entropies and the features of all models have in common."""


@dataclass(frozen=True)
class Heads:
    """The heads of one train split."""

    weights: Mapping[str, HeadWeights]
    metadata: Mapping[str, Mapping[str, str]]
    """Objective -> what the head was trained on."""


@dataclass(frozen=True)
class SplitScores:
    """What the models say of a split, and from which inputs."""

    object_id: Int[np.ndarray, "object"]
    models: Mapping[str, ModelScores]
    inputs: Mapping[str, Any]
    """Signatures of the stores and metadata of the heads, as in ``run.json``."""


def read_scores(split: str, models: tuple[str, ...], train_splits: tuple[str, ...]) -> SplitScores:
    """Read a split's scores and entropies and apply the heads of every train split.

    Raises
    ------
    StoreError
        If stores are incomplete or damaged, or disagree on the family, precision or objects.
    WeightsError
        If a head is missing or damaged.
    DataError
        If a head was trained on another family.
    """
    entropy = open_entropy(entropy_path(split))
    signature = entropy.attrs["signature"]
    shared = {key: signature.get(key, "none") for key in SHARED_KEYS}
    heads = {name: read_heads(name, shared["family"]) for name in train_splits}
    features = {
        model: open_features(features_path(split, model, "identity"), expected=shared)
        for model in models
    }
    with naming_damage(entropy_path(split)):
        object_id = entropy["object_id"].to_numpy()
        entropies = {model: entropies_of(entropy, model) for model in models}
    scores = {}
    for model, cell in features.items():
        with naming_damage(features_path(split, model, "identity")):
            scores[model] = model_scores(cell, entropies[model], heads)
    inputs = {
        "models": {model: cell.attrs["signature"] for model, cell in features.items()},
        "entropy": signature,
        "heads": {name: trained.metadata for name, trained in heads.items()},
    }
    return SplitScores(object_id, scores, inputs)


def read_heads(train_split: str, family: str) -> Heads:
    """Read every head of a train split.

    Raises
    ------
    DataError
        If a head was trained on another family: its tokens are not those of ``family``.
    """
    weights, metadata = {}, {}
    for objective in OBJECTIVES:
        path = head_path(train_split, objective)
        weights[objective], unsorted = read_head(path)
        # Safetensors gives the keys in another order each time.
        metadata[objective] = dict(sorted(unsorted.items()))
        found = unsorted.get("family", "none")
        if found != family:
            raise DataError(f"{path} must be trained on the family {family}, got {found}")
    return Heads(weights, metadata)


def entropies_of(entropy: xarray.Dataset, model: str) -> dict[str, Float[np.ndarray, "object"]]:
    """Every entropy as it concerns one model: its own, or that of all models together."""
    known = entropy["model"].to_numpy().tolist()
    if model not in known:
        raise StoreError(f"entropies must include the model {model}, got {', '.join(known)}")
    of_model = entropy.isel(model=known.index(model))
    return {name: of_model[name].to_numpy() for name in ENTROPY_MEASURES}


def model_scores(
    features: xarray.Dataset,
    entropies: Mapping[str, Float[np.ndarray, "object"]],
    heads: Mapping[str, Heads],
) -> ModelScores:
    """Scores of one model, and what the heads read from its tokens."""
    prompts = features["prompt"].to_numpy().tolist()
    center = features.isel(prompt=prompts.index("center"))
    refined = features.isel(prompt=prompts.index("refined"))
    return ModelScores(
        iou=center["iou"].to_numpy(),
        sam_score=center["sam_score"].to_numpy(),
        refined_iou=refined["iou"].to_numpy(),
        entropies=entropies,
        predictions=_predictions(center, heads),
    )


def _predictions(
    center: xarray.Dataset, heads: Mapping[str, Heads]
) -> dict[str, dict[str, Float[np.ndarray, "object"]]]:
    if not heads:  # the tokens are most of the store
        return {}
    # Whole chunks: each is decompressed once, and no more tokens than its are in memory.
    n_rows = center["mask_token"].encoding["chunks"][0]
    blocks: dict[str, list[dict[str, Float[np.ndarray, "row"]]]] = {name: [] for name in heads}
    for start in range(0, center.sizes["object"], n_rows):
        block = center.isel(object=slice(start, start + n_rows))
        inputs = head_inputs(
            block["iou_token"].to_numpy(), block["mask_token"].to_numpy(), block["iou"].to_numpy()
        )
        for name, trained in heads.items():
            blocks[name].append(predict(trained.weights, inputs))
    return {
        name: {key: np.concatenate([part[key] for part in parts]) for key in OBJECTIVES}
        for name, parts in blocks.items()
    }
