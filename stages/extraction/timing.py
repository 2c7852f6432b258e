"""How long the methods of the paper's Table 7 take on this machine."""

from collections.abc import Callable, Mapping
from functools import partial
from statistics import median
from time import perf_counter

import numpy as np
import pandas as pd
import torch

from pipeline.heads.kinds import KINDS, KINDS_BY_NAME, HeadKind
from pipeline.heads.networks import initial_network
from pipeline.heads.predict import STANDARD, HeadWeights, n_inputs
from pipeline.prompts import sample_prompts
from pipeline.result_rows import RUNTIME, RuntimeRow, RuntimeSettings
from pipeline.runtime import METHODS, Heads, Question
from pipeline.sam.model import Sam
from pipeline.scenes.scene import draw_scene, scene_seeds
from pipeline.vocabulary import PROTOCOL_OBJECTIVES
from stages.extraction.models import device_name, load_model
from stages.program.progress import progress
from stages.settings.blocks import ExtractParams
from storage.outputs.tables import as_frame


def time_models(
    params: ExtractParams,
    models: tuple[str, ...],
    n_repeats: int,
    *,
    question: Question | None = None,
    heads: Heads | None = None,
) -> pd.DataFrame:
    """Seconds of every method on every model, and what they depend on.

    Parameters
    ----------
    n_repeats
        Rounds that count, after a warm-up.
    question
        By default, about a drawn scene of the size that the model takes.
    heads
        By default, heads with random weights, which take the same time.

    Returns
    -------
    A row per model and method; as ``RUNTIME`` declares them.

    Raises
    ------
    ParamsError
        If the device is not there.
    WeightsError
        If the weights file of a model is missing, damaged or of another architecture.
    """
    rows: list[RuntimeRow] = []
    for model in models:
        sam = load_model(params, model)
        given = (sam, question or _drawn_question(sam.image_size_px), heads or _random_heads(sam))
        runs = {name: partial(method, *given) for name, method in METHODS.items()}
        with progress(f"runtime {model}", 1 + n_repeats, "rounds") as advance:
            seconds = median_seconds(runs, n_repeats, advance)
        settings = RuntimeSettings(
            family=params.family,
            weights=params.weights.partition("-")[0],
            heads="trained" if heads else "random",
            precision=params.precision,
            device=device_name(sam.device),
            torch_threads=torch.get_num_threads(),
            image="own" if question else "drawn scene",
            repeats=n_repeats,
        )
        rows += [
            RuntimeRow(model, method, taken, taken / seconds["sam"], settings)
            for method, taken in seconds.items()
        ]
    return as_frame(RUNTIME, rows)


def median_seconds(
    runs: Mapping[str, Callable[[], object]], n_repeats: int, advance: Callable[[int], None]
) -> dict[str, float]:
    """Median time of each run, after a warm-up.

    The runs take turns, so that whatever else the machine does affects all alike.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(1 + n_repeats):
        for name, run in runs.items():
            started = perf_counter()
            run()
            times[name].append(perf_counter() - started)
        advance(1)
    return {name: median(taken[1:]) for name, taken in times.items()}


def _drawn_question(size_px: int) -> Question:
    scene = draw_scene(scene_seeds(0, "val", 1)[0], size_px)
    return Question(scene.rgb, sample_prompts(scene.masks[0], seed=0))


def _random_heads(sam: Sam) -> Heads:
    return {name: _heads_of(KINDS_BY_NAME[name], sam.n_channels) for name in KINDS}


def _heads_of(kind: HeadKind, n_channels: int) -> dict[str, HeadWeights]:
    objectives, width = PROTOCOL_OBJECTIVES["selected"], n_inputs(kind, n_channels)
    standard = dict.fromkeys(STANDARD, np.ones(width, np.float32)) if kind.is_standardised else {}
    return {
        name: {**initial_network(name, width, seed=0, hidden=kind.hidden).tensors(), **standard}
        for name in objectives
    }
