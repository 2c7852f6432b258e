"""What data sets cost at their full size: the tables of ``docs/scale.md``.

Reads   ``docs/scale.csv``, which ``python -m docs.scale_rates`` measures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from pipeline.heads.inputs import n_inputs
from pipeline.heads.kinds import HEAD_KINDS
from pipeline.views import default_view
from pipeline.vocabulary import MODELS, N_PROPOSALS
from stages.cli.columns import bytes_text
from stages.planning.plans import n_cell_files
from stages.shell.asked import CellName, eval_cells, train_cells
from storage.datasets.extent import mask_bytes, object_bytes
from storage.store.schema import FIXED_COORDINATES

RATES: Final = Path(__file__).with_name("scale.csv")

VIEWS: Final = ("identity", "vflip", "jpeg10", "jpeg30", "gblur5", "gnoise")
SHARD_OBJECTS: Final = 128
"""As in params.yaml."""

N_CHANNELS, MASK_SIDE_PX = 256, 256
"""Of SAM2's models."""

RLE_BYTES: Final = 200
"""About what the ground truth of an object takes."""

FLOAT_BYTES: Final = 4

_WIDEST: Final = max(n_inputs(kind, N_CHANNELS) for kind in HEAD_KINDS)
"""Numbers that heads read of an object under one model."""

N_WORKERS: Final = 64

TWO_DIGITS: Final = 10
"""The least number of two."""

A100_FPS: Final = {"tiny": 91.2, "small": 84.8, "base_plus": 64.1, "large": 39.5}
"""Frames per second of SAM 2.1 on an A100, by Meta's README of December 2024. They track an object
through a video, so encoding an image takes less than a frame."""

DOLLARS_PER_GB: Final = 0.023
"""A month in S3 Standard, us-east-1, the first 50 TB: Amazon's list price of January 2025."""

VIDEO_S, ANNOTATED_HZ = 14, 6
"""Of SA-V's videos on average, by the paper of SAM 2."""


@dataclass(frozen=True)
class Extent:
    """A data set at its full size, by those who published it."""

    name: str
    n_images: int
    n_objects: int
    is_train: bool

    @property
    def cells(self) -> list[CellName]:
        """Cells that it has as an eval or a train split."""
        if self.is_train:
            return train_cells(self.name, MODELS)
        return eval_cells(self.name, MODELS, [default_view(view) for view in VIEWS])


_FRAMES: Final = VIDEO_S * ANNOTATED_HZ

EXTENTS: Final = (
    Extent("COCO val", 4_952, 36_335, is_train=False),
    # 155 videos with 293 masklets, as if each were seen in all frames.
    Extent("SA-V val", 155 * _FRAMES, 293 * _FRAMES, is_train=False),
    # 50,583 videos with 35.5 million masks.
    Extent("SA-V train", 50_583 * _FRAMES, 35_500_000, is_train=True),
)
"""COCO val 2017 without crowds; the others by the paper of SAM 2."""


@dataclass(frozen=True)
class Cost:
    """What all cells of a data set take."""

    features_bytes: int
    masks_bytes: tuple[int, int]
    n_files: int
    largest_store: int
    """Files of it."""
    n_shards: int
    table_bytes: int
    """Objects, images and ground truth, in the memory of each process that fills."""
    head_bytes: int
    """What the heads of a set read of a train split, in the memory of each process that trains."""

    @property
    def dollars(self) -> tuple[float, float]:
        """A month in S3, at least and at most."""
        low, high = (self.features_bytes + masks for masks in self.masks_bytes)
        return low / 1e9 * DOLLARS_PER_GB, high / 1e9 * DOLLARS_PER_GB


def cost(extent: Extent) -> Cost:
    """What a data set takes, in the terms of ``usam plan``."""
    cells = extent.cells
    fixed = {name: len(values) for name, values in FIXED_COORDINATES.items()}
    features = sum(
        object_bytes("features", {**fixed, "prompt": len(cell.prompts), "channel": N_CHANNELS})
        for cell in cells
    )
    n_masks = N_PROPOSALS * sum(len(cell.prompts) for cell in cells if cell.with_masks)
    low, high = (extent.n_objects * n_masks * n_bytes for n_bytes in mask_bytes(MASK_SIDE_PX))
    files = [n_cell_files(cell, extent.n_objects, SHARD_OBJECTS) for cell in cells]
    return Cost(
        features_bytes=extent.n_objects * features,
        masks_bytes=(low, high),
        n_files=sum(map(sum, files)),
        largest_store=max(map(max, files)),
        n_shards=len(cells) * -(-extent.n_objects // SHARD_OBJECTS),
        table_bytes=extent.n_objects * (RLE_BYTES + 8 * 2 * 4 + 4 * 4 + 4 + 2 * 8),
        head_bytes=extent.n_objects * len(MODELS) * _WIDEST * FLOAT_BYTES if extent.is_train else 0,
    )


def hours(extent: Extent, rates: pd.DataFrame) -> float:
    """Of one device: each cell encodes every image and decodes every prompt set."""
    image_s = dict(zip(rates["model"], rates["image_s"], strict=True))
    set_s = dict(zip(rates["model"], rates["prompt_set_s"], strict=True))
    seconds = sum(
        extent.n_images * image_s[cell.model]
        + extent.n_objects * len(cell.prompts) * set_s[cell.model]
        for cell in extent.cells
    )
    return float(seconds) / 3600


def shard_s(extent: Extent, rates: pd.DataFrame) -> float:
    """Seconds of the slowest shard: for so long the last one may keep a cell waiting."""
    slowest = rates[rates["model"] == "large"]
    image_s, set_s = float(slowest["image_s"].iloc[0]), float(slowest["prompt_set_s"].iloc[0])
    images = SHARD_OBJECTS * extent.n_images / extent.n_objects
    return images * image_s + SHARD_OBJECTS * len(extent.cells[0].prompts) * set_s


def a100(measured: pd.DataFrame) -> pd.DataFrame:
    """Rates of an A100, as if it encoded a frame's worth and decoded in the measured proportion."""
    image_s = 1 / measured["model"].map(A100_FPS)
    sets_s = measured["prompt_set_s"] / measured["image_s"] * image_s
    return pd.DataFrame({"model": measured["model"], "image_s": image_s, "prompt_set_s": sets_s})


def markdown() -> str:
    """Two tables: what the stores take, and how long they are in the making."""
    return f"{_sizes()}\n\n{_hours()}\n"


def _sizes() -> str:
    heads = ("split", "images", "objects", "cells", "predictions", "features", "masks", "files",
             "files of the largest store", "shards", "S3 a month", "objects in memory",
             "inputs of heads on the disk")  # fmt: skip
    rows = []
    for extent in EXTENTS:
        made = cost(extent)
        low, high = made.dollars
        n_sets = sum(len(cell.prompts) for cell in extent.cells)
        rows.append(
            (
                extent.name,
                f"{extent.n_images:,}",
                f"{extent.n_objects:,}",
                str(len(extent.cells)),
                f"{extent.n_objects * n_sets:,}",
                bytes_text(made.features_bytes),
                "none" if extent.is_train else bytes_text(*made.masks_bytes),
                f"{made.n_files:,}",
                f"{made.largest_store:,}",
                f"{made.n_shards:,}",
                f"${low:,.0f}" if extent.is_train else f"${low:,.0f} to {high:,.0f}",
                bytes_text(made.table_bytes),
                bytes_text(made.head_bytes) if extent.is_train else "none",
            )
        )
    return _table(heads, rows)


def _hours() -> str:
    measured = pd.read_csv(RATES)
    core = f"one core of {measured['device'][0]}, measured"
    devices = {core: measured, "A100, estimated": a100(measured)}
    heads = ("split", "device", "hours on one", f"hours on {N_WORKERS}", "slowest shard")
    rows = []
    for extent in EXTENTS:
        for device, rates in devices.items():
            alone, tail = hours(extent, rates), shard_s(extent, rates)
            many = alone / N_WORKERS + tail / 3600
            rows.append((extent.name, device, _short(alone), _short(many), f"{_short(tail)} s"))
    return _table(heads, rows)


def _short(number: float) -> str:
    """At least two digits."""
    return f"{number:.2g}" if round(number, 1) < TWO_DIGITS else f"{number:,.0f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * 2 + ["---:"] * (len(heads) - 2), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
