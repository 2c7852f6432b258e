"""Cells of a made-up split, written as an extraction publishes them."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.cell_rows import CellRows
from pipeline.vocabulary import PROMPTS
from storage.layout import features_path, masks_path
from storage.schema import SCHEMA
from storage.stores import create_store, write_array

SIGNATURE: dict[str, Any] = {
    "extract_version": 1,
    "family": "mini",
    "precision": "fp32",
    "objects_digest": "0123456789abcdef",
}
N_CHANNELS = 4


def write_cell(
    name: tuple[str, str, str],
    rows: CellRows,
    *,
    shard_objects: int,
    root: Path = Path(),
    **changes: Any,  # noqa: ANN401 - entries of the signature, prompts or images_sha256
) -> None:
    """Write the two stores of the cell ``name`` (split, model, view)."""
    n_objects = len(rows.iou)
    prompts = changes.pop("prompts", PROMPTS)
    images = changes.pop("images_sha256", "images")
    n_shards = -(-n_objects // shard_objects)
    token = np.zeros((n_objects, len(PROMPTS), 4, N_CHANNELS), np.float32)
    arrays: dict[str, dict[str, Any]] = {
        "features": {
            "sam_score": rows.sam_score,
            "iou": rows.iou,
            "iou_token": token[:, :, 0],
            "mask_token": token,
            "object_score": token[:, :, 0, 0],
            "images_sha256": [f"{images} {shard}" for shard in range(n_shards)],
            "done": np.ones(n_shards, bool),
        },
        "masks": {"mask_code": rows.mask_code, "done": np.ones(n_shards, bool)},
    }
    height, width = rows.mask_code.shape[-2:]
    sizes = {"features": {"channel": N_CHANNELS}, "masks": {"y": height, "x": width}}
    paths = {"features": root / features_path(*name), "masks": root / masks_path(*name)}
    for kind, path in paths.items():
        group = create_store(
            path,
            kind,
            sizes[kind],
            signature={**SIGNATURE, "model": name[1], "view": name[2], **changes},
            coords={"object_id": 100 + np.arange(n_objects), "prompt": prompts},
            shard_objects=shard_objects,
        )
        for array, values in arrays[kind].items():
            write_array(group, array, SCHEMA[kind][array], values)
