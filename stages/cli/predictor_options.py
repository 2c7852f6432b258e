"""Options that commands with a predictor share, and options of commands that serve a page."""

from pathlib import Path
from typing import Annotated

import typer

Family = Annotated[
    str | None, typer.Option(help="mini, or a fetched family such as sam2.1; mini by default.")
]
Model = Annotated[
    str | None, typer.Option(help="Model; by default the smallest that the heads know.")
]
Heads = Annotated[
    Path | None, typer.Option(metavar="FILE", help="From `usam heads export`; sets the family.")
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
PointsPerSide = Annotated[
    int | None, typer.Option(help="For everything: clicks per row of the grid; 32 by default.")
]
MinScore = Annotated[
    float | None, typer.Option(help="For everything: lowest SamScore to keep; 0.8 by default.")
]
MinStability = Annotated[
    float | None, typer.Option(help="For everything: lowest stability to keep; 0.95 by default.")
]
Host = Annotated[
    str, typer.Option(help="Address; others than loopback let other machines in, with a token.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes any free port.")]
