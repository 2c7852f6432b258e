"""The gallery as the page shows it."""

import base64
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.heads.kinds import KINDS_BY_NAME
from pipeline.scoring.measures import BY_NAME, ranked_name
from stages.page.labels import TASK_LABELS, measure_label, number, shown_mask
from storage.outputs.results import Gallery


@dataclass(frozen=True)
class Picture:
    """A picture of an object, and the words beside it."""

    anchor: str
    """``id`` of its figure: the address of the enlarged picture."""
    source: str
    """Data URI."""
    description: str
    """Text for those who cannot see it."""
    file: str
    """File of the image."""
    object_id: str
    place: str
    """Its rank among all objects."""
    uncertainty: str
    iou: str
    """IoU before and after the correction."""


@dataclass(frozen=True)
class GallerySection:
    """What the page shows of one task's objects in one split."""

    title: str
    """The task, and the kind of heads that ranks its objects."""
    anchor: str
    shown_mask: str
    """What the pictures show, in words."""
    ends: Mapping[str, list[Picture]]


def gallery_sections(gallery: Gallery, protocol: str, split: str) -> dict[str, GallerySection]:
    """Pictures of a protocol by task and kind of heads; a task shows the masks of one model."""
    sections = {}
    for (task, measure), rows in gallery.table.groupby(["task", "measure"], sort=False):
        name = ranked_name(str(task), str(measure))
        (model,) = rows["model"].unique()
        n_objects = rows["rank"].max()
        ends = {
            str(end): [_picture(gallery, split, row, n_objects) for row in shown.to_dict("records")]
            for end, shown in rows.groupby("end", sort=False)
        }
        heads = BY_NAME[str(measure)].heads
        title = TASK_LABELS[str(task)] + (KINDS_BY_NAME[heads].label if heads else "")
        anchor = f"gallery-{protocol}-{split}-{name}"
        shown = shown_mask(protocol, str(task), model)
        sections[name] = GallerySection(title, anchor, shown, ends)
    return sections


def _picture(gallery: Gallery, split: str, row: Mapping[Hashable, Any], n_objects: int) -> Picture:
    name = ranked_name(row["task"], row["measure"])
    jpeg = base64.b64encode(gallery.pictures[row["picture"]]).decode("ascii")
    return Picture(
        anchor=f"picture-{row['protocol']}-{split}-{name}-{row['rank']}",
        source=f"data:image/jpeg;base64,{jpeg}",
        description=f"Object {row['object_id']} of {row['file']}: ground truth, prediction, click",
        file=row["file"],
        object_id=str(row["object_id"]),
        place=f"{row['rank']} of {n_objects}",
        uncertainty=f"{measure_label(row['measure'])}: {number(row['uncertainty'], 3)}",
        iou=f"IoU {number(row['iou'], 2)} → {number(row['corrected_iou'], 2)}",
    )
