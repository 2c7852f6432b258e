"""``usam bench``: how fast this machine is."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from pipeline.prompts import sample_prompts
from pipeline.runtime import Question
from pipeline.sam.families import models_of
from stages.cli.columns import aligned
from stages.extraction.timing import time_models
from stages.page.labels import METHOD_LABELS, timed_ratio
from stages.program.main import reported_errors
from stages.settings.blocks import ExtractParams
from stages.settings.params import read_params
from stages.settings.parsing import parse
from storage.images.image_files import read_rgb
from storage.outputs.csv_forms import RUNTIME, RuntimeSettings, columns_of
from storage.outputs.tables import write_table


def bench(
    image: Annotated[Path | None, typer.Option(help="Image; a drawn scene by default.")] = None,
    family: Annotated[str | None, typer.Option(help="By default that of params.yaml.")] = None,
    weights: Annotated[str | None, typer.Option(help="file or random-SEED; likewise.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32 or bf16; likewise.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda; likewise.")] = None,
    repeats: Annotated[int, typer.Option(min=6, help="Timed rounds, after a warm-up.")] = 30,
    csv: Annotated[Path | None, typer.Option(help="Also write the seconds to this file.")] = None,
) -> None:
    """Time SAM2, its entropies and heads on this machine.

    A click alone, with each entropy and with heads, as in the paper's Table 7.
    """
    options = {"family": family, "weights": weights, "precision": precision, "device": device}
    with reported_errors():
        changes = {name: value for name, value in options.items() if value is not None}
        settings = read_params()
        params = parse("extract", asdict(settings.extract) | changes, ExtractParams)
        timed = time_models(
            params,
            models_of(family) if family else settings.models,
            repeats,
            question=_question_about(image) if image else None,
        )
        if image:
            timed["image"] = str(image)
        first = timed.iloc[0]
        names = [column.name for column in columns_of(RuntimeSettings)]
        facts = [f"{name.replace('_', ' ')} {first[name]}" for name in names]
        print("Seconds per image, and ratio to SAM2 alone (95 % interval)")
        print(_table(timed), ", ".join(facts), sep="\n")
        if csv:
            write_table(csv, RUNTIME, timed)


def _question_about(image: Path) -> Question:
    rgb = read_rgb(image)
    # No object is known: the clicks are placed as if an object filled the image.
    return Question(rgb, sample_prompts(np.ones(rgb.shape[:2], bool), seed=0))


def _table(timed: pd.DataFrame) -> str:
    lines = [("model", "method", "seconds", "ratio")]
    for row in timed.to_dict("records"):
        ratio = "" if row["method"] == "sam" else timed_ratio(row)
        lines.append((row["model"], METHOD_LABELS[row["method"]], f"{row['seconds']:.3f}", ratio))
    return aligned(lines, right={2})
