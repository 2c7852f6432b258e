"""Measures how fast extraction fills a cell of drawn scenes: as a whole, and part by part."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Final

import cv2
import numpy as np

from pipeline.extraction.predictions import (
    DecodedCall,
    Request,
    ScoredCall,
    extract_objects,
)
from pipeline.prompts import sample_prompts
from pipeline.sam.model import Sam, Square
from pipeline.scenes.scene import draw_scene, scene_seeds
from pipeline.views import default_view
from pipeline.vocabulary import PROMPTS
from stages.extraction.cells import cell_on
from stages.extraction.models import kept_model, settled_device
from stages.extraction.steps import CellSteps, ViewedImage, run_shards, writer_of
from stages.settings.blocks import ExtractParams
from storage.errors import ImageError
from storage.folders import sha256_file
from storage.images.videos import SplitImages
from storage.rle import encode_rle
from storage.split.cell_name import CellName
from storage.split.object_table import ObjectTable
from storage.split.sharded_table import ShardedTable

SCENE_PX: Final = 640
"""Side of the drawn scenes: the longer side of most photographs of COCO."""


@dataclass(frozen=True)
class ExtractionSpeed:
    """Seconds that the extraction of drawn scenes takes.

    Attributes
    ----------
    extraction_s
        Seconds to extract all images, as a stage extracts them.
    computing_s
        Part of ``extraction_s`` in which the model computes; in the rest it waits for images, or
        for a shard to be written.
    part_s
        Seconds per prompt set of each part alone, by part: ``encoder``, ``decoder``, ``scoring``
        (and coding of masks), ``bare`` (``sam2``'s own encoder and decoder), and, in seconds of a
        core of the host, ``reading`` (images, the view, and the ground truth) and ``writing``
        (compressed rows).
    """

    n_images: int
    n_prompt_sets: int
    extraction_s: float
    computing_s: float
    part_s: dict[str, float]


def extraction_speed(
    params: ExtractParams, model: str, n_images: int, view: str = "identity"
) -> ExtractionSpeed:
    """Measure how fast drawn scenes are extracted in a view, with all prompt sets and masks.

    There are ``n_images`` scenes, or an encoder batch if that is more. Files are written to a
    temporary folder.
    """
    sam = kept_model(params, model, settled_device(params.device).type)
    with TemporaryDirectory() as folder:
        root = Path(folder)
        table = drawn_table(root, max(n_images, params.encoder_batch))
        few = drawn_table(root, params.encoder_batch)
        first = ShardedTable(few, few.n_objects)
        # The first time warms up: libraries choose algorithms, and allocate memory.
        _, part_s = (
            _time_parts(drawn_steps(params, model, sam, first, root / f"part{i}", view), first)
            for i in range(2)
        )
        split = ShardedTable(table, params.shard_objects)
        steps = drawn_steps(params, model, sam, split, root / "pool", view)
        started = perf_counter()
        write = writer_of(steps.cell, sam.device)
        run_shards(split.shards.values(), steps, write, lambda _: None)
        extraction_s = perf_counter() - started
    return ExtractionSpeed(
        len(table.file), table.n_objects * len(PROMPTS), extraction_s, steps.computing_s, part_s
    )


@dataclass
class _Parts:
    """Seconds of each part of extraction."""

    sam: Sam
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def timed(self, part: str, clock: Callable[[], float] = perf_counter) -> Iterator[None]:
        started = clock()
        yield
        self.sam.wait()
        self.seconds[part] += clock() - started

    def score_calls(
        self, score: Callable[[DecodedCall], ScoredCall], calls: Iterable[DecodedCall]
    ) -> Iterator[ScoredCall]:
        """Score decoder calls like ``map``; a call is decoded, and timed, when it is taken."""
        decoded = iter(calls)
        while True:
            with self.timed("decoder"):
                call = next(decoded, None)
            if call is None:
                return
            yield score(call)


def _time_parts(steps: CellSteps, split: ShardedTable) -> dict[str, float]:
    """Seconds per prompt set of each part of ``ExtractionSpeed.part_s``, by a split of one shard.

    The device has done the work of a part before the next part begins.
    """
    ((name, shard),) = split.shards.items()
    parts, sam, rows = _Parts(steps.sam), steps.sam, []
    with parts.timed("reading", process_time):
        images = [_readable(steps.read(piece)) for piece in shard.pieces]
    with parts.timed("encoder"):
        embeddings = sam.encode_squares([square for square, _ in images])
    for piece, (square, request), embedding in zip(shard.pieces, images, embeddings, strict=True):
        with parts.timed("scoring"):
            arrays = extract_objects(
                sam,
                embedding,
                request,
                batch=steps.batch,
                with_masks=True,
                apply=parts.score_calls,
            )
        inputs = np.full(len(request.points), split.input_sha256(piece))
        rows.append(arrays | {"input_sha256": inputs})
        with parts.timed("bare"):
            _predict_plainly(sam, square, request, steps.batch)
    joined = {key: np.concatenate([arrays[key] for arrays in rows]) for key in rows[0]}
    with parts.timed("writing", process_time):
        steps.cell.put(name, joined, maker="")
    parts.seconds["scoring"] -= parts.seconds["decoder"]
    n_prompt_sets = (shard.stop - shard.start) * len(PROMPTS)
    return {part: seconds / n_prompt_sets for part, seconds in parts.seconds.items()}


def _readable(image: ViewedImage | ImageError) -> tuple[Square, Request]:
    if isinstance(image, ImageError):
        raise image
    square, request = image
    assert isinstance(square, Square)  # no embeddings of drawn scenes are stored
    return square, request


def _predict_plainly(sam: Sam, square: Square, request: Request, batch: int) -> None:
    embedding, points = sam.encode_square(square), request.points.astype(np.float32)
    for clicks in (points.reshape(-1, 1, 2), points):  # the single clicks, then all eight together
        for start in range(0, len(clicks), batch):
            sam.decode_plainly(embedding, clicks[start : start + batch])


def drawn_steps(
    params: ExtractParams,
    model: str,
    sam: Sam,
    split: ShardedTable,
    pool: Path,
    view: str,
) -> CellSteps:
    """Steps that extract the cell of a model and a view of a drawn split, with masks.

    The images are in the folder that contains ``pool``.
    """
    name = CellName("drawn", model, default_view(view), PROMPTS, with_masks=True)
    cell = cell_on(sam.device.type, name, params, split, pool)
    return CellSteps(sam, cell, SplitImages(pool.parent, split.table.file.tolist()))


def drawn_table(folder: Path, n_images: int) -> ObjectTable:
    """Draw scenes into a folder, as JPEG files like those of COCO; return their table of objects.

    All boxes in the table are 0.
    """
    scenes = [draw_scene(seed, SCENE_PX) for seed in scene_seeds(0, "val", n_images)]
    files = [f"{i}.jpg" for i in range(n_images)]
    for file, scene in zip(files, scenes, strict=True):
        cv2.imwrite(str(folder / file), scene.rgb[..., ::-1])
    masks = [mask for scene in scenes for mask in scene.masks]
    n_objects = len(masks)
    return ObjectTable(
        file=np.array(files, object),
        height_px=np.full(n_images, SCENE_PX, np.int32),
        width_px=np.full(n_images, SCENE_PX, np.int32),
        image_sha256=np.array([sha256_file(folder / file) for file in files], object),
        image_index=np.repeat(np.arange(n_images), [len(s.masks) for s in scenes]).astype(np.int32),
        object_id=np.arange(n_objects),
        area_px=np.array([mask.sum() for mask in masks]),
        box_px=np.zeros((n_objects, 4), np.float32),
        mask_rle=np.array([encode_rle(mask) for mask in masks], object),
        point_px=np.stack([sample_prompts(mask, seed=i) for i, mask in enumerate(masks)]),
    )
