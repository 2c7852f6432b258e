"""``usam params``: switches between whole sets of settings, losing none.

Reads   ``params.yaml``, ``params/<name>.yaml``.
Writes  ``params.yaml``, ``params/<name>.yaml``.
"""

import re
from pathlib import Path
from typing import Annotated, Final

import typer

from stages.shell.edge import reported_errors
from stages.shell.params import PARAMS_FILE, ParamsError

FOLDER: Final = Path("params")
"""Sets of settings that are not in use."""

_FIRST_LINE: Final = re.compile(r"# Settings `([\w-]+)`")

app = typer.Typer(no_args_is_help=True, help="Sets of settings.")

# Without this, a lone command would be the group itself.
app.callback()(lambda: None)


@app.command()
def use(
    name: Annotated[str, typer.Argument(help="paper, default, or another of params/.")],
) -> None:
    """Put params/NAME.yaml in the place of params.yaml, which goes to params/ as it is."""
    with reported_errors():
        used = switch_params(name)
    if used == name:
        print(f"{PARAMS_FILE} holds {name} already")
    else:
        print(f"{PARAMS_FILE} holds {name}; {used} is kept in {FOLDER / f'{used}.yaml'}")


def switch_params(name: str) -> str:
    """Exchange the settings in use, unless they are those already.

    Returns
    -------
    Name of those that were in use.

    Raises
    ------
    ParamsError
        If there are no settings of that name, or none in use, or those in use have no name or one
        that is taken.
    """
    if not FOLDER.is_dir():
        raise ParamsError(
            f"{FOLDER}/ must be there, got none: go to the root of a clone of usam-cache"
        )
    wanted = FOLDER / f"{name}.yaml"
    if not wanted.exists() and PARAMS_FILE.exists() and name_of(PARAMS_FILE) == name:
        return name
    if not wanted.is_file():
        known = sorted(path.stem for path in FOLDER.glob("*.yaml"))
        raise ParamsError(f"settings must be one of {', '.join(known) or 'none'}, got {name!r}")
    if not PARAMS_FILE.exists():
        raise ParamsError(
            f"{PARAMS_FILE} must be there, got none: a switch was cut off; move {wanted} to "
            f"{PARAMS_FILE} to have {name}, nothing is lost"
        )
    used = name_of(PARAMS_FILE)
    kept = FOLDER / f"{used}.yaml"
    if name_of(wanted) != name:
        raise ParamsError(f"first line of {wanted} must name it, got {name_of(wanted)!r}")
    if kept.exists():
        raise ParamsError(f"{kept} must not be there while {PARAMS_FILE} holds {used!r}")
    # Killed between the two, the next switch names the file to move.
    PARAMS_FILE.rename(kept)
    wanted.rename(PARAMS_FILE)
    return used


def name_of(path: Path) -> str:
    """Name on the first line of a set of settings.

    Raises
    ------
    ParamsError
        If there is none.
    """
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    match = _FIRST_LINE.match(first)
    if match is None:
        raise ParamsError(f"first line of {path} must begin with # Settings `NAME`, got {first!r}")
    return match[1]
