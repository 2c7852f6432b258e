"""``usam``: the command line for users; DVC runs stages as ``python -m stages.<stage>``."""

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

GROUPS: Final[Mapping[str, Mapping[str, str]]] = {
    "Masks and how wrong they may be": {
        "predict": "Segment an object; say how wrong its mask may be, and why.",
        "predict-coco": "Segment the objects of a COCO file, or everything in a folder.",
        "encode": "Encode the images of a folder once, so that clicks need no GPU.",
        "review": "Segment images; look at the doubtful masks first, on a web page.",
        "demo": (
            "Serve a web page to click on images: your own, drawn ones, or those of embeddings."
        ),
        "gate": "Find which masks to keep so that a promise about them holds.",
    },
    "The pipeline of params.yaml": {
        "plan": (
            "Show which shards of cells are missing, why, and the work and the bytes that they "
            "cost."
        ),
        "fill": "Compute missing shards of cells; `dvc repro` publishes them.",
        "run": "Run the stages of dvc.yaml in order, without DVC.",
        "report": "Print a summary of the results and the path of their page.",
    },
    "Files": {
        "cache": "List, check, repair, send and describe stores.",
        "checkpoints": "Download weights of models.",
        "heads": "Fit, show, export, download and describe heads.",
    },
    "This machine": {
        "bench": "Time an extraction on this machine.",
        "doctor": "Check device, weights, heads, disk, DVC and a click's answer.",
    },
}
"""Headings of ``usam --help``, each with its commands and the help line of each command."""

COMMANDS: Final[Mapping[str, str]] = {
    name: words for group in GROUPS.values() for name, words in group.items()
}
"""Help line of each command, by its name."""


ON_A_PAGE: Final[Mapping[str, str]] = {
    "demo": "stages.web.command",
    "review": "stages.web.review_command",
}
"""Commands that serve a page -> their modules; the module of any other command has its name."""


class LateGroup(TyperGroup):
    """Typer's group of commands, which imports only the command that the command line names.

    Importing all commands would make ``usam --help`` take seconds.
    """

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401, ARG002 - click's
        """Import a command that the command line names; None for an unknown name."""
        return load_command(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401, ARG002 - click's
        """Write the list of commands into the help text, under a heading for each group."""
        for heading, group in GROUPS.items():
            with formatter.section(heading):
                formatter.write_dl([*group.items()])


def load_command(name: str) -> Any:  # noqa: ANN401 - click's, which newer Typers bring themselves
    """Import the module of a command, a key of ``COMMANDS``, and make click's command from it.

    The module has a Typer ``app`` of several commands, or a function with the command's name.
    """
    function = name.replace("-", "_")
    module = import_module(ON_A_PAGE.get(name, f"stages.cli.{function}"))
    group = getattr(module, "app", None)
    if group is not None:
        return typer.main.get_group(group)
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command()(getattr(module, function))
    return typer.main.get_command(alone)


app = typer.Typer(
    cls=LateGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Masks of Segment Anything 2, how wrong they may be, and why.",
    epilog="Begin with `usam demo`, or with `usam predict IMAGE --click X,Y`.",
)


def show_version(is_asked: bool) -> None:  # noqa: FBT001 - as Typer calls it
    """If ``is_asked``, print the versions of the package, schema and stages, and exit."""
    if is_asked:
        from stages.settings.versions import VERSIONS  # noqa: PLC0415 - half a second
        from storage.store.schema import SCHEMA_VERSION  # noqa: PLC0415

        typer.echo(f"usam {version('usam-cache')}")
        versions = {"schema": SCHEMA_VERSION, **VERSIONS}
        typer.echo(", ".join(f"{name} {number}" for name, number in versions.items()))
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", callback=show_version, is_eager=True, help="Print the version."),
]


@app.callback()  # Typer counts commands before it asks the group for them
def usam(*, version: Version = False) -> None:
    """Declare the option ``--version``, which ``show_version`` handles."""
