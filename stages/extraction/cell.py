"""Runs one cell: opens what it needs, extracts what is missing, publishes what is complete."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pipeline.extraction.plan import Shard, decoder_batch, plan_shards
from pipeline.sam.model import Sam
from stages.extraction.loop import Failure, run_shards
from stages.extraction.models import load_model
from stages.extraction.steps import CellSettings, CellSteps
from stages.shell.asked import CellName, asked_of
from stages.shell.blocks import ExtractParams, Split
from stages.shell.progress import progress
from stages.shell.stopping import stoppable
from stages.shell.unchanged import check_unchanged
from storage.cell.making import CHANGED, UNDONE, Cell, CellPlan
from storage.cell.reuse import MadeRows, find_made
from storage.cell.work import sweep
from storage.errors import ImageError
from storage.images.of_split import SplitImages
from storage.paths import WORK, features_path, masks_path, work_dir
from storage.split.objects import (
    ObjectTable,
    images_of_shards,
    input_sha256,
    objects_digest,
    read_objects_of,
)
from storage.store.signature import versions

N_REPORTED: Final = 20
"""Failed images that an error names at most."""


def run_cell(
    name: CellName, place: Split, params: ExtractParams, *, is_repair: bool = False
) -> None:
    """Extract one cell into ``cache/features`` and, with masks, ``cache/masks``.

    Parameters
    ----------
    is_repair
        Take over what is intact of the outputs that are there; else DVC has removed them.

    Raises
    ------
    ImageError
        If images failed, after all others were extracted and kept in the work folder.
    """
    asked = asked_of(params, name)
    table = read_objects_of(name.split)
    sam = load_model(params, name.model)
    settings = _settings(params, name, sam)
    plan = _cell_plan(name, table, sam, params.shard_objects)
    content = images_of_shards(table, params.shard_objects)
    signature = asked | {
        "objects_digest": objects_digest(table),
        "device": sam.device.type,
        "decoder_batch": settings.decoder_batch,
        # Pillow and OpenCV read and augment; the other threads compute.
        **versions("torch", "sam2", "numpy", "opencv-python-headless", "pillow"),
    }
    work = work_dir(name.split, name.model, name.view.name)
    sweep(WORK, keep=work)
    cell = Cell.open(work, signature, plan)
    cell.tidy()
    with stoppable(_kept_in(cell.folder)):
        for unfinished in cell.unfinished:
            print(f"note: {unfinished}", file=sys.stderr)
        targets = outputs_of(name)
        faults = cell.adopt(targets) if is_repair else {}
        lacking = cell.lacking(content)
        for shard, fault in (lacking | faults).items():
            if fault not in {UNDONE, CHANGED}:
                print(f"note: shard {shard} of {name} is extracted again: {fault}", file=sys.stderr)
        shards = plan_shards(table.image_index, params.shard_objects)
        todo = [shard for shard in shards if shard.index in lacking]
        images = SplitImages(Path(place.images), [str(file) for file in table.file])
        made = _made_elsewhere(cell, table, todo, with_masks=name.with_masks)
        steps = CellSteps(sam, cell, table, images, content, settings, made)
        failures = _extract(steps, todo, str(name))
        if failures:
            raise ImageError(_report(failures, table, place.images, cell.folder))
        check_unchanged()
        cell.publish(targets["features"], targets.get("masks"), images_sha256=content)


def outputs_of(name: CellName) -> dict[str, Path]:
    """Stores of a cell, by their kind."""
    place = (name.split, name.model, name.view.name)
    masks = {"masks": masks_path(*place)} if name.with_masks else {}
    return {"features": features_path(*place), **masks}


def _kept_in(folder: Path) -> str:
    return f"finished shards and images are kept in {folder}"


def _settings(params: ExtractParams, name: CellName, sam: Sam) -> CellSettings:
    return CellSettings(
        view=name.view,
        prompts=name.prompts,
        decoder_batch=decoder_batch(
            params.decoder_batch, device=sam.device.type, mask_size_px=sam.mask_size_px
        ),
        with_masks=name.with_masks,
    )


def _cell_plan(name: CellName, table: ObjectTable, sam: Sam, shard_objects: int) -> CellPlan:
    return CellPlan(
        prompts=name.prompts,
        object_id=table.object_id,
        n_channels=sam.n_channels,
        mask_size_px=sam.mask_size_px if name.with_masks else None,
        shard_objects=shard_objects,
    )


def _made_elsewhere(
    cell: Cell, table: ObjectTable, todo: Sequence[Shard], *, with_masks: bool
) -> MadeRows:
    """What other cells hold already of the shards that are to be made."""
    pieces = [slice(piece.start, piece.stop) for shard in todo for piece in shard.pieces]
    n_rows = {input_sha256(table, rows): rows.stop - rows.start for rows in pieces}
    made = find_made(cell.signature, n_rows.keys(), cell.folder, with_masks=with_masks)
    n_made = sum(n for digest, n in n_rows.items() if digest in made)
    if n_made:
        print(f"note: {n_made} objects are taken from cells that hold them", file=sys.stderr)
    return made


def _extract(steps: CellSteps, todo: Sequence[Shard], what: str) -> tuple[Failure, ...]:
    """Run the shards that are missing, or whose images have changed."""
    n_objects = sum(shard.stop - shard.start for shard in todo)
    n_done = steps.table.n_objects - n_objects
    if n_done:
        print(f"{what}: {n_done} objects are already done", file=sys.stderr)
    with progress(f"extract {what}", n_objects) as advance:
        return run_shards(todo, steps, advance)


def _report(failures: Sequence[Failure], table: ObjectTable, images_at: str, folder: Path) -> str:
    images = {failure.piece.image: failure.reason for failure in failures}
    named = [f"{table.file[image]}: {reason}" for image, reason in images.items()][:N_REPORTED]
    more = f"; and {len(images) - len(named)} more" if len(images) > len(named) else ""
    return (
        f"images in {images_at} must be readable, got {len(images)} that are not "
        f"({'; '.join(named)}{more}); all others are kept in {folder}: mend these and run again"
    )
