"""Sections of the page with pictures of the gallery."""

import base64
import hashlib
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import pandas as pd

from pipeline.annotations import DOUBTED
from pipeline.heads.kinds import KINDS_BY_NAME
from pipeline.scoring.measures import BY_NAME, ranked_name
from stages.page.labels import TASK_LABELS, measure_label, number, shown_mask
from storage.outputs.results import Gallery

Section = dict[str, Any]
"""Pictures of objects and texts about them, for the page's template.

``anchor`` is an id on the page; ``ends`` has a list of pictures for each end of the gallery.
"""


def images(galleries: Iterable[Gallery]) -> dict[str, str]:
    """Data URL of each picture by its ``image_id``, so that the page contains each picture once."""
    return {
        image_id(picture): "data:image/webp;base64," + base64.b64encode(picture).decode("ascii")
        for gallery in galleries
        for picture in gallery.pictures.values()
    }


def image_id(picture: bytes) -> str:
    """Id of a picture from its bytes, by which sections of the page refer to it."""
    return f"image-{hashlib.sha256(picture).hexdigest()[:16]}"


def gallery_sections(gallery: Gallery, protocol: str, split: str) -> list[Section]:
    """Sections with the most and least uncertain objects of a split, one per task and measure.

    ``gallery`` must have the rows of ``protocol`` alone.
    """
    table = gallery.table[gallery.table["end"] != DOUBTED]
    return [
        _section(gallery, rows, f"{protocol}-{split}-{ranked_name(str(task), str(measure))}")
        for (task, measure), rows in table.groupby(["task", "measure"], sort=False)
    ]


def doubted(gallery: Gallery, split: str) -> Section:
    """Section with the annotations of a split that models doubt most."""
    rows = gallery.table[gallery.table["end"] == DOUBTED]
    n_objects = gallery.table["rank"].max()
    anchor = f"annotations-{split}"
    pictures = [
        _shown(gallery, anchor, row, n_objects)
        | {
            "uncertainty": f"expected IoU {number(row['expected_iou'], 2)}",
            "iou": f"reached IoU {number(row['iou'], 2)}",
        }
        for row in rows.to_dict("records")
    ]
    return {"anchor": anchor, "prompt": rows["prompt"].iloc[0], "ends": {DOUBTED: pictures}}


def _section(gallery: Gallery, rows: pd.DataFrame, anchor: str) -> Section:
    first = rows.iloc[0]
    heads = BY_NAME[first["measure"]].heads
    n_objects = gallery.table["rank"].max()
    return {
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
    """Texts about an object in a row: names, rank, uncertainty, IoU before and after correction.

    ``n_objects`` is the number of objects that the measure ranks.
    """
    return _shown(gallery, anchor, row, n_objects) | {
        "uncertainty": f"{measure_label(row['measure'])}: {number(row['uncertainty'], 3)}",
        "iou": f"IoU {number(row['iou'], 2)} → {number(row['corrected_iou'], 2)}",
    }


def _shown(
    gallery: Gallery, anchor: str, row: Mapping[Hashable, Any], n_objects: int
) -> dict[str, str]:
    """Texts about the object in a row of the gallery: its names, its rank, and its picture's id."""
    name = f"Object {row['object_id']} of {row['file']}"
    return {
        "anchor": f"picture-{anchor}-{row['rank']}",
        "image": image_id(gallery.pictures[row["picture"]]),
        "description": f"{name}: ground truth, prediction, click",
        "file": row["file"],
        "object_id": str(row["object_id"]),
        "place": f"{row['rank']} of {n_objects}",
    }
