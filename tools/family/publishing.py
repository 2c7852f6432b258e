"""Weights of the embedded family: written in half precision, listed with size and sha256."""

import csv
from collections.abc import Mapping

import numpy as np
from safetensors.numpy import save

from storage.checkpoints import weights
from storage.errors import WeightsError
from storage.folders import sha256_file, whole_file


def publish(family: str, models: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Write the weights of some models, then list them in the family's table.

    The same weights give the same bytes. Each file appears whole, the table last.

    Raises
    ------
    WeightsError
        If a model is unknown, or a weight is not finite in half precision.
    """
    table = weights.TABLES / f"{family}.csv"
    sizes = {model: _write(family, model, tensors) for model, tensors in models.items()}
    with table.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        lines = [line | sizes.get(line["model"], {}) for line in reader]
        names = list(reader.fieldnames or ())
    with whole_file(table) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def _write(family: str, model: str, tensors: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Write one file; return its size and sha256 for the table."""
    path = weights.checkpoint(family, model).path
    data = save({name: _halved(name, tensors[name]) for name in sorted(tensors)})
    with whole_file(path) as partial:
        partial.write_bytes(data)
    return {"bytes": str(len(data)), "sha256": sha256_file(path)}


def _halved(name: str, weight: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # what overflows is reported below
        half = weight.astype(np.float16)
    if not np.isfinite(half).all():
        largest = float(np.abs(weight).max())
        raise WeightsError(f"weight {name} must be finite in half precision, got {largest:g}")
    return np.ascontiguousarray(half)
