"""Heads on disk: safetensors, read and written without PyTorch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from storage.errors import WeightsError

SIZE_BYTES: Final = 8
"""Bytes that a safetensors file spends on the size of its header; the header is padded to them."""


def write_head(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write a head; the same tensors and metadata give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    contiguous = {name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}
    path.write_bytes(_with_sorted_header(save(contiguous, dict(metadata))))


def read_head(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors and metadata of a head.

    Raises
    ------
    WeightsError
        If there is no such file, or it is not a safetensors file (a truncated download is the
        usual cause).
    """
    if not path.is_file():
        raise WeightsError(f"head must be a file, got none at {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            names = sorted(file.keys())
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except SafetensorError as error:
        raise WeightsError(f"head must be a safetensors file, got {path}: {error}") from error


def _with_sorted_header(data: bytes) -> bytes:
    # safetensors writes metadata in the order of a hash map that is seeded anew for each file.
    size = int.from_bytes(data[:SIZE_BYTES], "little")
    header = json.loads(data[SIZE_BYTES : SIZE_BYTES + size])
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % SIZE_BYTES)
    return len(text).to_bytes(SIZE_BYTES, "little") + text + data[SIZE_BYTES + size :]
