"""``usam bench``: how fast this machine extracts."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Annotated

import typer

from pipeline.sam.families import models_of
from pipeline.views import default_view
from stages.program.main import reported_errors
from stages.settings.blocks import ExtractParams
from stages.settings.params import read_params
from stages.settings.parsing import ParamsError, check_known, parse

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Time an extraction on this machine."
)


@app.command()
def extraction(
    *,
    model: Annotated[list[str] | None, typer.Option(help="May be given many times.")] = None,
    images: Annotated[int, typer.Option(min=1, help="Number of drawn scenes.")] = 8,
    view: Annotated[str, typer.Option(help="View of the images, with its defaults.")] = "identity",
    family: Annotated[str | None, typer.Option(help="Family; default: params.yaml.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32 or bf16; as above.")] = None,
    encoder_batch: Annotated[int | None, typer.Option(help="Images per encoder call.")] = None,
) -> None:
    """Time the parts of an extraction by models with random weights, on drawn scenes.

    It prints a table in Markdown, with a row per model, to paste into an issue.
    """
    # Imported late: torch takes seconds, and the help needs none of it.
    from stages.extraction.models import device_name, settled_device  # noqa: PLC0415
    from stages.extraction.timing import SPEED, extraction_speed  # noqa: PLC0415

    options = {"family": family, "precision": precision, "encoder_batch": encoder_batch}
    with reported_errors():
        params, models = _settings({**options, "weights": "random-0"})
        for name in model or ():
            check_known("model", name, models_of(params.family))
        try:
            default_view(view)
        except ValueError as error:
            raise ParamsError(str(error)) from error
        print(f"| model | {' | '.join(SPEED)} |")
        print("| --- |" + " ---: |" * len(SPEED))
        for name in model or models:
            speed = extraction_speed(params, name, images, view)
            cells = (f"{speed[figure]:{form}}" for figure, form in SPEED.items())
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
        where = device_name(settled_device(params.device))
        batch = f"{params.encoder_batch} and {params.decoder_batch}"
        print(
            f"\n{where}, {params.family}, {params.precision}, random weights, batches of {batch}, "
            f"{images} drawn scenes in view {view}, {os.cpu_count()} processors, "
            f"torch {version('torch')}, usam {version('usam-cache')}"
        )


def _settings(options: Mapping[str, object]) -> tuple[ExtractParams, tuple[str, ...]]:
    """Settings of ``extract``, changed by options that are not None, and the models to time.

    These are all models of the option ``family`` or, without it, the models of ``params.yaml``.
    """
    changes = {name: option for name, option in options.items() if option is not None}
    settings = read_params()
    params = parse("extract", asdict(settings.extract) | changes, ExtractParams)
    return params, models_of(params.family) if options["family"] else settings.models
