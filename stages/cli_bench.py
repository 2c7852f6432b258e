"""``usam bench``: how fast this machine is."""

import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Annotated, Final

import numpy as np
import pandas as pd
import torch
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table

from pipeline.networks import initial_networks
from pipeline.prompts import sample_prompts
from pipeline.runtime import METHODS, Heads, Question
from pipeline.sam import Sam
from pipeline.scenes import draw_scene, scene_seeds
from pipeline.vocabulary import OBJECTIVES
from stages.extraction import ExtractParams, load_model
from stages.params import parse, read_block, read_lists
from stages.progress import progress
from stages.scores import read_heads
from stages.shell import reported_errors
from storage.errors import DataError, WeightsError
from storage.images import read_rgb
from storage.results import write_table

LABELS: Final = {
    "sam": "SAM2 alone",
    "entropy": "entropy",
    "views5": "|T| = 5 views",
    "prompts8": "|X_p| = 8 clicks",
    "usam": "nine heads",
}
"""Of ``METHODS``, for people."""

FLOAT_FORMAT: Final = "%.6g"

CPU_INFO: Final = Path("/proc/cpuinfo")
"""Where Linux names the processor."""

app = typer.Typer(no_args_is_help=True, help="Speed of this machine.")

# Without this, a lone command would be the group itself.
app.callback()(lambda: None)


@app.command()
def runtime(
    image: Annotated[Path | None, typer.Option(help="Image; without it, a drawn scene.")] = None,
    family: Annotated[str | None, typer.Option(help="In place of that of the params.")] = None,
    weights: Annotated[str | None, typer.Option(help="file or random, likewise.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32 or bf16, likewise.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda, likewise.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Times each, after a first one.")] = 5,
    csv: Annotated[Path | None, typer.Option(help="Write the seconds there, too.")] = None,
) -> None:
    """Time SAM2 alone, with entropies and with heads on one image: the paper's Table 7."""
    options = {"family": family, "weights": weights, "precision": precision, "device": device}
    with reported_errors():
        given = {name: value for name, value in options.items() if value is not None}
        own = asdict(read_block("extract", ExtractParams))
        params = parse("extract", own | given, ExtractParams)
        lists = read_lists()
        heads = _trained_heads(lists.train_splits, params.family)
        seconds: dict[str, dict[str, float]] = {}
        for model in lists.models:
            sam, _ = load_model(params, model)
            question = _question(image, sam.image_size_px)
            asked = (sam, question, heads or _random_heads(sam))
            runs = {name: partial(method, *asked) for name, method in METHODS.items()}
            with progress(f"bench {model}", 1 + repeats, "rounds") as advance:
                seconds[model] = median_seconds(runs, repeats, advance)
        about = {
            "family": params.family,
            "weights": params.weights,
            "heads": "trained" if heads else "random",
            "precision": params.precision,
            "device": device_name(sam.device),
            "torch_threads": torch.get_num_threads(),
            "image": str(image or "drawn scene"),
            "repeats": repeats,
        }
        if csv:
            write_table(csv, _rows(seconds, about), FLOAT_FORMAT)
    told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in about.items())
    Console().print(_table(seconds), told, sep="\n", highlight=False)


def median_seconds(
    runs: Mapping[str, Callable[[], object]], repeats: int, advance: Callable[[int], None]
) -> dict[str, float]:
    """Median time of each run, after a first one that does not count.

    They take turns, so that what else the machine does falls on all alike.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(1 + repeats):
        for name, run in runs.items():
            started = perf_counter()
            run()
            times[name].append(perf_counter() - started)
        advance(1)
    return {name: median(taken[1:]) for name, taken in times.items()}


def device_name(device: torch.device) -> str:
    """Name of the processor that a device is."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    known = CPU_INFO.read_text(encoding="utf-8") if CPU_INFO.exists() else ""
    found = re.search(r"^model name\s*: (.+)$", known, re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def _question(image: Path | None, size_px: int) -> Question:
    if image is None:
        scene = draw_scene(scene_seeds(0, "val", 1)[0], size_px)
        return Question(scene.rgb, sample_prompts(scene.masks[0], seed=0))
    with Image.open(image) as header:
        width, height = header.size
    # No object is known: the clicks are those of one that fills the image.
    points = sample_prompts(np.ones((height, width), bool), seed=0)
    return Question(read_rgb(image, height_px=height, width_px=width), points)


def _trained_heads(train_splits: tuple[str, ...], family: str) -> Heads | None:
    """Heads of the first train split that has some of the family."""
    for split in train_splits:
        try:
            return read_heads(split, family).weights
        except (DataError, WeightsError):
            continue
    return None


def _random_heads(sam: Sam) -> Heads:
    networks = initial_networks(OBJECTIVES, 2 * sam.n_channels, seed=0)
    return {objective: networks.head(i) for i, objective in enumerate(OBJECTIVES)}


def _rows(seconds: Mapping[str, Mapping[str, float]], about: Mapping[str, object]) -> pd.DataFrame:
    """A row a model and method, each with all that its time depends on."""
    return pd.DataFrame(
        {
            "model": model,
            "method": method,
            "seconds": time_s,
            "ratio": time_s / of_model["sam"],
            **about,
        }
        for model, of_model in seconds.items()
        for method, time_s in of_model.items()
    )


def _table(seconds: Mapping[str, Mapping[str, float]]) -> Table:
    table = Table(title="Seconds an image, and how many times SAM2 alone", title_justify="left")
    table.add_column("model")
    for method in METHODS:
        table.add_column(LABELS[method], justify="right")
    for model, of_model in seconds.items():
        cells = [f"{time_s:.3f} ({time_s / of_model['sam']:.2f}x)" for time_s in of_model.values()]
        table.add_row(model, *cells)
    return table
