"""Weights of the embedded family: written in half precision, listed with size and sha256."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from safetensors.numpy import save

from storage.errors import WeightsError
from storage.images import sha256_file
from storage.weights import TABLES, checkpoint

TABLE: Final = TABLES / "mini.csv"
"""The family's lines of the registry."""


def publish_mini(models: Mapping[str, Mapping[str, np.ndarray]], table: Path = TABLE) -> None:
    """Write the weights of some models, then list them in the family's table.

    The same weights give the same bytes. Each file appears whole, the table last.

    Raises
    ------
    WeightsError
        If a model is unknown, or a weight is not finite in half precision.
    """
    sizes = {model: _write(model, weights) for model, weights in models.items()}
    with table.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        lines = [line | sizes.get(line["model"], {}) for line in reader]
        names = list(reader.fieldnames or ())
    partial = table.with_suffix(".partial")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    partial.replace(table)


def _write(model: str, weights: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Write one file; what the table says of it."""
    path = checkpoint("mini", model).path
    data = save({name: _halved(name, weights[name]) for name in sorted(weights)})
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(data)
    partial.replace(path)
    return {"bytes": str(len(data)), "sha256": sha256_file(path)}


def _halved(name: str, weight: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # what overflows is reported below
        half = weight.astype(np.float16)
    if not np.isfinite(half).all():
        largest = float(np.abs(weight).max())
        raise WeightsError(f"weight {name} must be finite in half precision, got {largest:g}")
    return np.ascontiguousarray(half)
