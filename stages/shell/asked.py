"""What the settings ask of cells: which cells there are, and what their signatures must say."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from pipeline.vocabulary import PROMPTS, TRAIN_PROMPTS, VIEW_PARAMETERS
from stages.shell.params import strict
from storage.checkpoints.weights import checkpoint

Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]


@strict
class ExtractParams:
    """Block ``extract``; it serves ``extract_train`` too, for heads must fit what they judge."""

    version: Positive
    family: Literal["mini", "sam2", "sam2.1"]
    weights: Literal["file", "random"]
    weights_seed: Seed
    precision: Literal["fp32", "bf16"]
    noise_seed: Seed
    decoder_batch: Positive | Literal["auto"]
    shard_objects: Positive
    device: Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class CellName:
    """Which cell, and which prompt sets and stores it has."""

    split: str
    model: str
    view: str
    prompts: tuple[str, ...]
    with_masks: bool

    def __str__(self) -> str:
        return f"{self.split}/{self.model}/{self.view}"


def eval_cells(split: str, models: Sequence[str], views: Sequence[str]) -> list[CellName]:
    """Cells of a split that is scored: every prompt set, with masks."""
    return [
        CellName(split, model, view, PROMPTS, with_masks=True) for model in models for view in views
    ]


def train_cells(split: str, models: Sequence[str]) -> list[CellName]:
    """Cells of a split that heads learn from: identity view, two prompt sets, no masks."""
    return [CellName(split, model, "identity", TRAIN_PROMPTS, with_masks=False) for model in models]


def asked_of(params: ExtractParams, name: CellName) -> dict[str, object]:
    """What a cell's signature owes to its name and to the settings, wherever it is made.

    Neither images nor weights need be there. The batch of the decoder is left out: ``auto`` is
    another number on another device.
    """
    signature: dict[str, object] = {
        "extract_version": params.version,
        "split": name.split,
        "family": params.family,
        "model": name.model,
        "weights": weights_name(params, name.model),
        "view": name.view,
        "view_parameters": VIEW_PARAMETERS[name.view],
        "prompts": list(name.prompts),
        "precision": params.precision,
        "shard_objects": params.shard_objects,
    }
    if name.view == "gnoise":
        signature["noise_seed"] = params.noise_seed
    return signature


def weights_name(params: ExtractParams, model: str) -> str:
    """Name of a model's weights in a signature: the listed sha256 or the seed; reads no weights."""
    if params.weights == "random":
        return f"random, seed {params.weights_seed}"
    return checkpoint(params.family, model).sha256 or "not listed"
