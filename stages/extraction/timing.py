"""Measures how long extraction and the methods of the paper's Table 7 take on this machine."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Final, TypeVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from pipeline.extraction.predictions import Request, extract_objects
from pipeline.extraction.shards import decoder_batch
from pipeline.heads.kinds import KINDS, KINDS_BY_NAME, HeadSet
from pipeline.heads.networks import initial_heads
from pipeline.heads.predict import n_inputs
from pipeline.prompts import sample_prompts
from pipeline.runtime import METHODS, Heads, Question, median_interval
from pipeline.sam.model import Sam
from pipeline.scenes.scene import draw_scene, scene_seeds
from pipeline.views import default_view
from stages.extraction.models import device_name, kept_model, load_model, settled_device
from stages.program.progress import progress
from stages.settings.blocks import ExtractParams
from storage.outputs.csv_forms import RUNTIME, RuntimeRow, RuntimeSettings
from storage.outputs.tables import as_frame

N_TIMED: Final = 3
"""Number of rounds by which ``extraction_seconds`` measures."""


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
    settings = RuntimeSettings(
        family=params.family,
        weights=params.weights.partition("-")[0],
        heads="random",
        precision=params.precision,
        device=device_name(sam.device),
        torch_threads=torch.get_num_threads(),
        image="drawn scene",
        repeats=n_repeats,
    )
    return as_frame(RUNTIME, runtime_rows(seconds, settings))


Run = TypeVar("Run")


def seconds_in_turns(
    runs: Mapping[Run, Callable[[], object]], n_repeats: int, advance: Callable[[int], None]
) -> dict[Run, Float[np.ndarray, "round"]]:
    """Measure the seconds of each function in each of ``n_repeats`` rounds, after a warm-up round.

    All functions take turns, so that other work of the machine slows all alike. The order is drawn
    for each round, because a function finds in the processor's caches the data of the function
    before it. ``advance`` is called with 1 after each round, also after the warm-up.
    """
    seconds = {run: np.zeros(1 + n_repeats) for run in runs}
    order, rng = list(runs), np.random.default_rng(0)
    for i in range(1 + n_repeats):
        for run in (order[j] for j in rng.permutation(len(order))):
            started = perf_counter()
            runs[run]()
            seconds[run][i] = perf_counter() - started
        advance(1)
    return {run: seconds_of_run[1:] for run, seconds_of_run in seconds.items()}


def runtime_rows(
    seconds: Mapping[tuple[str, str], Float[np.ndarray, "round"]], settings: RuntimeSettings
) -> list[RuntimeRow]:
    """Rows of the table ``RUNTIME``, one per model and method: medians over rounds with intervals.

    A ratio compares the time of a method with the time of the method ``sam`` in the same round: a
    load that slows the whole round cancels out. ``seconds``, by model and method, must have the
    method ``sam`` of each model.
    """
    rows = []
    for (model, method), of_method in seconds.items():
        ratios = of_method / seconds[model, "sam"]
        rows.append(
            RuntimeRow(
                model=model,
                method=method,
                seconds=float(np.median(of_method)),
                seconds_interval=median_interval(of_method),
                ratio=float(np.median(ratios)),
                ratio_interval=median_interval(ratios),
                settings=settings,
            )
        )
    return rows


def extraction_seconds(
    params: ExtractParams, model: str, prompts: tuple[str, ...], *, with_masks: bool
) -> tuple[float, float]:
    """Measure the seconds of extraction on one drawn scene: of the image, and per object.

    The image is encoded, and all prompt sets of its objects are decoded, scored and, with masks,
    coded. Without prompt sets, an object takes no time. Each number is the least of ``N_TIMED``
    rounds after a warm-up. Reading and writing are excluded.
    """
    # The same as in extraction: on a CPU, with one thread from here on.
    sam = kept_model(params, model, settled_device(params.device).type)
    scene = draw_scene(scene_seeds(0, "val", 1)[0], sam.image_size_px)
    clicks = np.stack([sample_prompts(mask, seed=0) for mask in scene.masks])
    request = Request(clicks, scene.masks, default_view("identity"), prompts)
    batch = decoder_batch(
        params.decoder_batch, device=sam.device.type, mask_size_px=sam.mask_size_px
    )
    seconds = []
    for _ in range(1 + N_TIMED):
        started = perf_counter()
        embedding = sam.encode(scene.rgb)
        # Reading numbers from the device waits until the device is done.
        embedding.statistics()
        encoded = perf_counter()
        if prompts:
            extract_objects(sam, embedding, request, batch=batch, with_masks=with_masks)
        seconds.append((encoded - started, perf_counter() - encoded))
    of_image, of_objects = np.min(seconds[1:], axis=0).tolist()
    return of_image, of_objects / len(clicks)


def _drawn_question(size_px: int) -> Question:
    scene = draw_scene(scene_seeds(0, "val", 1)[0], size_px)
    return Question(scene.rgb, sample_prompts(scene.masks[0], seed=0))


def _random_heads(sam: Sam, models: Sequence[str]) -> Heads:
    return {
        kind: initial_heads(
            HeadSet("selected", "selected", kind),
            models,
            n_inputs(KINDS_BY_NAME[kind], sam.n_channels),
            seed=0,
        )
        for kind in KINDS
    }
