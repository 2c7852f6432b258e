"""``usam``: the command line for people; stages are run by DVC as ``python -m stages.<stage>``."""

import re
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from stages.settings.removed import removal

UsageError: Final[type[Any]] = typer.BadParameter.__mro__[1]
"""Click's; newer Typers bring a Click of their own."""

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "demo": (
        "stages.web.command",
        "Serve a web page: an image, clicks on it, masks, and how far to trust them.",
    ),
    "doctor": (
        "stages.cli.doctor",
        "Check torch, device, weights, disk, links, DVC and a click; name what mends each.",
    ),
    "fill": (
        "stages.cli.fill",
        "Compute the shards of cells that the pool lacks; `dvc repro` publishes them.",
    ),
    "gate": (
        "stages.cli.gate",
        "Find the uncertainty up to which masks may be kept for a promise to hold.",
    ),
    "plan": (
        "stages.cli.plan",
        "Show the size of all cells, which exist, and why the others would run; run nothing.",
    ),
    "predict": (
        "stages.cli.predict",
        "Segment one object and estimate how wrong its mask is and why; all clicks are one prompt.",
    ),
    "predict-coco": (
        "stages.cli.predict_coco",
        "Segment every annotated object, or everything, with the uncertainty of each mask.",
    ),
    "report": (
        "stages.cli.report",
        "Name the page that the stage `report` wrote; with --open, show it.",
    ),
    "run": (
        "stages.cli.run",
        "Run the commands of dvc.yaml in its order, without DVC; the first that fails ends it.",
    ),
    "bench": ("stages.cli.bench", "Speed of this machine."),
    "cache": ("stages.cli.cache", "Stores of the cache."),
    "checkpoints": ("stages.cli.checkpoints", "Weights of the SAM2 models."),
    "heads": ("stages.cli.heads", "Trained heads as files."),
}
"""Module of each command, and its line in ``usam --help``. A module has either a Typer ``app`` of
several commands, or a function that is named like the command."""


class LateGroup(TyperGroup):
    """Imports a command only when it runs; importing all would make ``--help`` take seconds."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002 - click's
        """Names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:  # noqa: ANN401, ARG002 - click's
        """A command as the list shows it."""
        _, words = COMMANDS.get(cmd_name, ("", ""))
        return TyperCommand(cmd_name, help=words) if words else None

    def resolve_command(
        self,
        ctx: Any,  # noqa: ANN401 - click's
        args: list[str],
    ) -> tuple[str | None, Any, list[str]]:
        """The command to run, imported, and its arguments."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, load_command(found.name or "") if found else None, rest

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - click's
        """Run a command; name removed commands and options with their remedy."""
        try:
            return super().invoke(ctx)
        except UsageError as error:
            unknown = re.match(r"No such (?:command|option):? '?([\w-]+)", error.message)
            if unknown is None:
                raise
            above = error.ctx.command_path.removeprefix(ctx.command_path)
            line = removal(f"usam{above} {unknown[1]}")
            if line is None:
                raise
            error.ctx.fail(line)


def load_command(name: str) -> Any:  # noqa: ANN401 - click's, which newer Typers bring themselves
    """Import a command."""
    module = import_module(COMMANDS[name][0])
    group = getattr(module, "app", None)
    if group is not None:
        return typer.main.get_group(group)
    alone = typer.Typer(add_completion=False)
    alone.command()(getattr(module, name.replace("-", "_")))
    return typer.main.get_command(alone)


app = typer.Typer(cls=LateGroup, no_args_is_help=True, help="UncertainSAM from a feature cache.")


def show_version(is_asked: bool) -> None:  # noqa: FBT001 - as Typer calls it
    """Print the package's version and exit, if asked to."""
    if is_asked:
        typer.echo(f"usam {version('usam-cache')}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", callback=show_version, is_eager=True, help="Print the version."),
]


@app.callback()  # Typer counts commands before it asks the group for them
def usam(*, version: Version = False) -> None:
    """Options of no command; its help is that of the app."""
