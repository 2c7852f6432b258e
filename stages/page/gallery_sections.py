"""The pictures of the gallery in sections, as the page shows them."""

import base64
import hashlib
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import pandas as pd

from pipeline.heads.kinds import KINDS_BY_NAME
from pipeline.scoring.measures import BY_NAME, ranked_name
from stages.page.labels import SURPRISES, TASK_LABELS, measure_label, number, shown_mask
from storage.outputs.results import Gallery

Section = dict[str, Any]
"""Pictures of one task's objects in one split, with their words."""


def images(galleries: Iterable[Gallery]) -> dict[str, str]:
    """Data URLs of pictures by ``image_id``: the page holds each picture once."""
    return {
        image_id(picture): "data:image/webp;base64," + base64.b64encode(picture).decode("ascii")
        for gallery in galleries
        for picture in gallery.pictures.values()
    }


def image_id(picture: bytes) -> str:
    """Id by which sections of the page refer to a picture."""
    return f"image-{hashlib.sha256(picture).hexdigest()[:16]}"


def gallery_sections(gallery: Gallery, protocol: str, split: str) -> list[Section]:
    """Pictures of a protocol by task and kind of heads; a task shows the masks of one model."""
    table = gallery.table[~gallery.table["end"].isin(SURPRISES)]
    return [
        _section(gallery, rows, f"{protocol}-{split}-{ranked_name(str(task), str(measure))}")
        for (task, measure), rows in table.groupby(["task", "measure"], sort=False)
    ]


def surprises(gallery: Gallery, split: str) -> Section | None:
    """Pictures of the objects that a measure ranks worst; None without any."""
    rows = gallery.table[gallery.table["end"].isin(SURPRISES)]
    return None if rows.empty else _section(gallery, rows, f"surprises-{split}")


def _section(gallery: Gallery, rows: pd.DataFrame, anchor: str) -> Section:
    """Pictures of one task and measure."""
    first = rows.iloc[0]
    heads = BY_NAME[first["measure"]].heads
    n_objects = gallery.table["rank"].max()
    return {
        "measure": measure_label(first["measure"]).replace(", ours", " of ours"),
        "title": TASK_LABELS[first["task"]] + (KINDS_BY_NAME[heads].label if heads else ""),
        "anchor": f"gallery-{anchor}",
        "shown_mask": shown_mask(first["protocol"], first["task"], first["model"]),
        "ends": {
            str(end): [
                _picture(gallery, anchor, row, n_objects) for row in shown.to_dict("records")
            ]
            for end, shown in rows.groupby("end", sort=False)
        },
    }


def _picture(
    gallery: Gallery, anchor: str, row: Mapping[Hashable, Any], n_objects: int
) -> dict[str, str]:
    """A picture of an object, with the words beside it."""
    name = f"Object {row['object_id']} of {row['file']}"
    return {
        "anchor": f"picture-{anchor}-{row['rank']}",
        "image": image_id(gallery.pictures[row["picture"]]),
        "description": f"{name}: ground truth, prediction, click",
        "file": row["file"],
        "object_id": str(row["object_id"]),
        "place": f"{row['rank']} of {n_objects}",
        "uncertainty": f"{measure_label(row['measure'])}: {number(row['uncertainty'], 3)}",
        "iou": f"IoU {number(row['iou'], 2)} → {number(row['corrected_iou'], 2)}",
    }
