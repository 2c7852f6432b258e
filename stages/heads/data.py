"""What the heads of a split learn from: the features of all models, put together."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import xarray
from jaxtyping import Float32, Int

from pipeline.heads.objectives import ModelFeatures, TrainingSet, head_inputs, training_set
from pipeline.vocabulary import MODELS, TRAIN_PROMPTS
from stages.shell.rules import ParamsError
from storage import open_features
from storage.errors import DataError, StoreError
from storage.paths import features_path, objects_path
from storage.split.groups import group_index
from storage.split.objects import objects_digest, read_objects
from storage.split.provenance import EXTRACTION_KEYS, cells_digest
from storage.store.inspection import naming_damage


@dataclass(frozen=True)
class HeadData:
    """Rows to learn from, and where they come from."""

    rows: TrainingSet
    origin: Mapping[str, str]
    """``EXTRACTION_KEYS``, ``n_channels``, ``features_digest`` of signatures and images, and the
    name of each model's weights as ``weights_<model>``."""


def read_head_data(split: str, models: tuple[str, ...], tokens: str = "best") -> HeadData:
    """Read the identity features of every model.

    Parameters
    ----------
    tokens
        What the inputs are made of, one of ``TOKEN_SETS``.

    Raises
    ------
    ParamsError
        If ``models`` lacks one: ``model_gap`` compares them.
    StoreError
        If a store is missing or incomplete, or of other objects or another family, precision or
        version of the extraction than the first.
    """
    if set(models) != set(MODELS):
        raise ParamsError(f"models must be {', '.join(MODELS)} for heads, got {', '.join(models)}")
    table = read_objects(objects_path(split))
    expected: dict[str, object] = {"objects_digest": objects_digest(table)}
    cells = {}
    origin: dict[str, str] = {}
    for model in MODELS:
        cell = open_features(features_path(split, model, "identity"), expected=expected)
        signature = cell.attrs["signature"]
        expected |= {key: signature[key] for key in EXTRACTION_KEYS}
        origin |= origin_of(model, signature)
        cells[model] = cell
    origin["n_channels"] = str(cells[MODELS[0]].sizes["channel"])
    origin["features_digest"] = cells_digest({(m, "identity"): cell for m, cell in cells.items()})
    return HeadData(_read_rows(split, cells, group_index(table), tokens), origin)


def origin_of(model: str, signature: Mapping[str, object]) -> dict[str, str]:
    """What heads that learned from a cell are told by, and cells that they judge must match."""
    return {
        **{key: str(signature[key]) for key in EXTRACTION_KEYS},
        f"weights_{model}": str(signature["weights"]),
    }


@contextmanager
def faults_of(split: str) -> Iterator[None]:
    """Name the split whose data the method refuses."""
    try:
        yield
    except ValueError as error:
        raise DataError(f"{split}: {error}") from error


def _read_rows(
    split: str,
    cells: Mapping[str, xarray.Dataset],
    group: Int[np.ndarray, " object"],
    tokens: str,
) -> TrainingSet:
    n_channels = next(iter(cells.values())).sizes["channel"]
    # Allocated once and filled in place: of a large split the inputs take gigabytes.
    inputs = np.empty((len(cells), len(group), 2 * n_channels), np.float32)
    features = {}
    for own, (model, cell) in zip(inputs, cells.items(), strict=True):
        with naming_damage(features_path(split, model, "identity")):
            features[model] = _read_scores(cell)
            _read_inputs(cell.sel(prompt="center"), tokens, own)
    with faults_of(split):
        return training_set(inputs, features, group)


def _read_scores(cell: xarray.Dataset) -> ModelFeatures:
    known = cell["prompt"].to_numpy().tolist()
    missing = [prompt for prompt in TRAIN_PROMPTS if prompt not in known]
    if missing:
        raise StoreError(f"features must hold the prompts {', '.join(TRAIN_PROMPTS)}, got {known}")
    prompts = [known.index(prompt) for prompt in TRAIN_PROMPTS]
    return ModelFeatures(
        sam_score=cell["sam_score"].to_numpy()[:, prompts],
        iou=cell["iou"].to_numpy()[:, prompts],
    )


def _read_inputs(
    center: xarray.Dataset, tokens: str, inputs: Float32[np.ndarray, "object input"]
) -> None:
    # Block by block: three of four mask tokens are not needed.
    n_rows = center["mask_token"].encoding["chunks"][0]
    for start in range(0, len(inputs), n_rows):
        some = slice(start, start + n_rows)
        inputs[some] = block_inputs(center.isel(object=some), tokens)


def block_inputs(center: xarray.Dataset, tokens: str) -> Float32[np.ndarray, "object input"]:
    """What heads read of some objects, from their features under the prompt ``center``."""
    return head_inputs(
        center["iou_token"].to_numpy(),
        center["mask_token"].to_numpy(),
        iou=center["iou"].to_numpy(),
        sam_score=center["sam_score"].to_numpy(),
        tokens=tokens,
    )
