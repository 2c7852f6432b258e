"""Measures how long extraction and the methods of the paper's Table 7 take on this machine."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Final, TypeVar

import cv2
import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from pipeline.extraction.predictions import extract_objects
from pipeline.heads.kinds import KINDS, KINDS_BY_NAME, HeadSet
from pipeline.heads.networks import initial_heads
from pipeline.heads.predict import n_inputs
from pipeline.prompts import sample_prompts
from pipeline.runtime import METHODS, Heads, Question, median_interval
from pipeline.sam.model import Embedding, Sam, Square
from pipeline.scenes.scene import draw_scene, scene_seeds
from pipeline.views import default_view
from pipeline.vocabulary import PROMPTS
from stages.extraction.cells import cell_on
from stages.extraction.models import device_name, kept_model, load_model, settled_device
from stages.extraction.steps import CellSteps, ViewedImage, run_shards, writer_of
from stages.program.progress import progress
from stages.settings.blocks import ExtractParams
from stages.settings.signatures import weights_record
from storage.checkpoints.weights import FILE
from storage.errors import ImageError
from storage.folders import sha256_file
from storage.images.videos import SplitImages
from storage.rle import encode_rle
from storage.split.cell_name import CellName
from storage.split.object_table import ObjectTable
from storage.split.sharded_table import ShardedTable

N_TIMED: Final = 3
"""Number of rounds by which ``extraction_speed`` measures the parts of extraction."""

SCENE_PX: Final = 640
"""Side of the drawn scenes: the longer side of most photographs of COCO."""

Decode = Callable[[Embedding, np.ndarray], object]


def time_models(params: ExtractParams, models: tuple[str, ...], n_repeats: int) -> pd.DataFrame:
    """Measure the seconds of every method of ``METHODS`` with every model and random heads.

    Models segment a drawn scene of their input size. ``n_repeats`` is the number of rounds that
    count, after a warm-up.

    Returns
    -------
    A row per model and method, with the columns of ``RUNTIME``.
    """
    runs: dict[tuple[str, str], Callable[[], object]] = {}
    for model in models:
        sam = load_model(params, model)
        inputs = (sam, _drawn_question(sam.image_size_px), _random_heads(sam, models))
        runs |= {(model, name): partial(method, *inputs) for name, method in METHODS.items()}
    with progress("runtime", 1 + n_repeats, "rounds") as advance:
        seconds = seconds_in_turns(runs, n_repeats, advance)
    return pd.DataFrame(runtime_rows(seconds)).assign(
        family=params.family,
        weights="random" if weights_record(params, models[0]) is None else FILE,
        heads="random",
        precision=params.precision,
        device=device_name(sam.device),
        torch_threads=torch.get_num_threads(),
        image="drawn scene",
        repeats=n_repeats,
    )


Run = TypeVar("Run")


def seconds_in_turns(
    runs: Mapping[Run, Callable[[], object]],
    n_repeats: int,
    advance: Callable[[int], object],
    clock: Callable[[], float] | None = None,
) -> dict[Run, Float[np.ndarray, "round"]]:
    """Measure the seconds of each function in each of ``n_repeats`` rounds, after a warm-up round.

    All functions take turns, so that other work of the machine slows all alike. The order is drawn
    for each round, because a function finds in the processor's caches the data of the function
    before it. ``advance`` is called with 1 after each round, also after the warm-up. Time is that
    of ``clock``, by default of the wall.
    """
    clock = clock or perf_counter
    seconds = {run: np.zeros(1 + n_repeats) for run in runs}
    order, rng = list(runs), np.random.default_rng(0)
    for i in range(1 + n_repeats):
        for run in (order[j] for j in rng.permutation(len(order))):
            started = clock()
            runs[run]()
            seconds[run][i] = clock() - started
        advance(1)
    return {run: seconds_of_run[1:] for run, seconds_of_run in seconds.items()}


def runtime_rows(
    seconds: Mapping[tuple[str, str], Float[np.ndarray, "round"]],
) -> list[dict[str, str | float]]:
    """Rows of the table ``RUNTIME``, one per model and method: medians over rounds with intervals.

    A ratio compares the time of a method with the time of the method ``sam`` in the same round: a
    load that slows the whole round cancels out. ``seconds``, by model and method, must have the
    method ``sam`` of each model.
    """
    rows = []
    for (model, method), of_method in seconds.items():
        ratios = of_method / seconds[model, "sam"]
        row: dict[str, str | float] = {"model": model, "method": method}
        for name, values in (("seconds", of_method), ("ratio", ratios)):
            interval = median_interval(values)
            row |= {name: float(np.median(values)), f"{name}_low": interval.low}
            row[f"{name}_high"] = interval.high
        rows.append(row)
    return rows


SPEED: Final[Mapping[str, str]] = {
    "images/s": ".3g",
    "prompt sets/s": ".3g",
    **dict.fromkeys(("encoder", "decoder", "scoring", "waiting"), ".0%"),
    **dict.fromkeys(("reading", "writing"), ".2g"),
    "over the bare model": ".2f",
}
"""Figures of ``extraction_speed``, with the formats of their numbers.

Encoder, decoder and scoring are shares of their sum; waiting is the share of the extraction in
which the model waits for the host. Reading and writing, the host's part of the work, are in
milliseconds of a core per prompt set. The last is the time of the extraction, as a multiple of what
``sam2``'s own encoder and decoder take.
"""


def extraction_speed(
    params: ExtractParams, model: str, n_images: int, view: str = "identity"
) -> dict[str, float]:
    """Measure how fast drawn scenes are extracted in a view, with all prompt sets and masks.

    There are ``n_images`` scenes, or an encoder batch if that is more. Files are written to a
    temporary folder. The figures are by the names in ``SPEED``.
    """
    sam = kept_model(params, model, settled_device(params.device).type)
    name = CellName("drawn", model, default_view(view), PROMPTS, with_masks=True)
    with TemporaryDirectory() as folder:
        root = Path(folder)
        few = _drawn_table(root, params.encoder_batch)
        one_shard = ShardedTable(few, few.n_objects)
        part_s = _seconds_of_parts(_drawn_steps(name, params, sam, one_shard, root / "part"))
        table = _drawn_table(root, max(n_images, params.encoder_batch))
        split = ShardedTable(table, params.shard_objects)
        steps = _drawn_steps(name, params, sam, split, root / "pool")
        started = perf_counter()
        write = writer_of(steps.cell, sam.device)
        run_shards(split.shards.values(), steps, write, lambda _: None)
        extraction_s = perf_counter() - started
    n_prompt_sets = table.n_objects * len(PROMPTS)
    of_model = {part: part_s[part] for part in ("encoder", "decoder", "scoring")}
    return {
        "images/s": len(table.file) / extraction_s,
        "prompt sets/s": n_prompt_sets / extraction_s,
        **{part: seconds / sum(of_model.values()) for part, seconds in of_model.items()},
        "waiting": 1 - steps.computing_s / extraction_s,
        **{part: 1000 * part_s[part] for part in ("reading", "writing")},
        "over the bare model": extraction_s / n_prompt_sets / part_s["bare"],
    }


def _seconds_of_parts(steps: CellSteps) -> dict[str, float]:
    """Seconds per prompt set of each part of the extraction of a split of one shard.

    The parts are ``encoder``, ``decoder``, ``scoring`` (and coding of masks), ``bare`` (``sam2``'s
    own encoder and decoder) and, in seconds of a core, ``reading`` (images, the view, and the
    ground truth) and ``writing`` (compressed rows). Each is the least of ``N_TIMED`` rounds.
    """
    ((name, shard),) = steps.cell.split.shards.items()
    sam, write = steps.sam, writer_of(steps.cell, steps.sam.device)
    images = [(piece, _readable(steps.read(piece))) for piece in shard.pieces]
    rows = steps.compute(images)
    squares = [square for _, (square, _) in images if isinstance(square, Square)]
    requests = [request for _, (_, request) in images]
    embeddings = sam.encode_squares(squares)

    def score() -> None:
        for embedding, request in zip(embeddings, requests, strict=True):
            extract_objects(sam, embedding, request, batch=steps.batch, with_masks=True)

    def decode(decoder: Decode, encoded: Iterable[Embedding]) -> None:
        for embedding, request in zip(encoded, requests, strict=True):
            points = request.points.astype(np.float32)
            for clicks in (points.reshape(-1, 1, 2), points):  # the clicks one by one, then all
                for start in range(0, len(clicks), steps.batch):
                    decoder(embedding, clicks[start : start + steps.batch])
        sam.wait()

    def encode() -> None:
        sam.encode_squares(squares)
        sam.wait()

    def write_anew() -> None:
        steps.cell.drop(name)
        write(shard, rows)

    of_model = {
        "encoder": encode,
        "decoder": lambda: decode(sam.decode, embeddings),
        "scoring": score,
        "bare": lambda: decode(sam.decode_plainly, map(sam.encode_square, squares)),
    }
    of_host = {"reading": lambda: [*map(steps.read, shard.pieces)], "writing": write_anew}
    seconds = seconds_in_turns(of_model, N_TIMED, int)
    seconds |= seconds_in_turns(of_host, N_TIMED, int, clock=process_time)
    least_s = {part: float(of_part.min()) for part, of_part in seconds.items()}
    least_s["scoring"] -= least_s["decoder"]
    n_prompt_sets = (shard.stop - shard.start) * len(PROMPTS)
    return {part: seconds_of_part / n_prompt_sets for part, seconds_of_part in least_s.items()}


def _readable(image: ViewedImage | ImageError) -> ViewedImage:
    if isinstance(image, ImageError):
        raise image
    return image


def _drawn_steps(
    name: CellName, params: ExtractParams, sam: Sam, split: ShardedTable, pool: Path
) -> CellSteps:
    """Steps that extract a cell of a drawn split; its images are in the folder around ``pool``."""
    cell = cell_on(sam.device.type, name, params, split, pool)
    return CellSteps(sam, cell, SplitImages(pool.parent, split.table.file.tolist()))


def _drawn_table(folder: Path, n_images: int) -> ObjectTable:
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


def _drawn_question(size_px: int) -> Question:
    scene = draw_scene(scene_seeds(0, "val", 1)[0], size_px)
    return Question(scene.rgb, sample_prompts(scene.masks[0], seed=0))


def _random_heads(sam: Sam, models: Sequence[str]) -> Heads:
    return {
        kind: initial_heads(
            HeadSet("selected", "selected", kind),
            models,
            n_inputs(KINDS_BY_NAME[kind], sam.n_channels, has_object_score=sam.has_object_score),
            seed=0,
        )
        for kind in KINDS
    }
