"""Options that commands with a predictor share, and options of commands that serve a page."""

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from stages.predictor.model_choice import ModelChoice, choose_model

Family = Annotated[
    str | None,
    typer.Option(help="mini, mini-photos, or a fetched one; see docs/models.md."),
]
Model = Annotated[
    str | None, typer.Option(help="Model; by default the smallest that the heads know.")
]
Heads = Annotated[
    Path | None, typer.Option(metavar="FILE", help="From `usam heads export`; sets the family.")
]
Weights = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Your own weights of the model, in place of the family's."),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Precision = Annotated[
    str | None, typer.Option(help="fp32 or bf16; by default, as the heads learned.")
]
Embeddings = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATH",
        help="From `usam encode`: its images are not encoded again; may be repeated.",
    ),
]
Host = Annotated[
    str, typer.Option(help="Address; others than loopback let other machines in, with a token.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes any free port.")]


@dataclass(frozen=True)
class ModelOptions:
    """Options of every command that predicts: the model, its heads, and what it runs on."""

    family: Family = None
    model: Model = None
    heads: Heads = None
    weights: Weights = None
    device: Device = "auto"
    precision: Precision = None
    embeddings: Embeddings = None

    def choose(self, images: Path) -> ModelChoice:
        """Choose the model and the heads for an image or a folder, see ``choose_model``.

        Where there are no heads, a note on stderr says how to get some.
        """
        options = vars(self) | {"embeddings": self.embeddings or ()}
        choice = choose_model(**options, images=images)
        if choice.no_heads:
            print(f"note: {choice.no_heads}", file=sys.stderr)
        return choice


@dataclass(frozen=True)
class GridOptions:
    """Options of commands that segment everything; None stands for the default in ``GRID``."""

    points_per_side: Annotated[
        int | None,
        typer.Option(
            help="For everything: clicks per row of the grid; 32 by default, 16 of mini models."
        ),
    ] = None
    min_score: Annotated[
        float | None,
        typer.Option(
            help="For everything: lowest SamScore to keep; 0.8 by default, 0.4 of mini models."
        ),
    ] = None
    min_stability: Annotated[
        float | None,
        typer.Option(
            help="For everything: lowest stability to keep; 0.95 by default, 0.6 of mini models."
        ),
    ] = None


def with_records(command: Callable[..., None]) -> Callable[..., None]:
    """Make a Typer command whose parameters may be records, such as ``ModelOptions``.

    The command line has an option for each field of a record; ``command`` is called with the
    record. So options that several commands share are declared once, as the fields of a record.
    """
    signature = inspect.signature(command)
    records = {
        name: inspect.signature(parameter.annotation).parameters
        for name, parameter in signature.parameters.items()
        if isinstance(parameter.annotation, type) and is_dataclass(parameter.annotation)
    }

    @wraps(command)
    def flat(**options: Any) -> None:  # noqa: ANN401 - of each option's type
        for name, names in records.items():
            record = signature.parameters[name].annotation
            options[name] = record(**{option: options.pop(option) for option in names})
        command(**options)

    flat.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[
            option.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for name, parameter in signature.parameters.items()
            for option in (records[name].values() if name in records else [parameter])
        ]
    )
    return flat
