"""``usam report``: where the page of the results is; opens it, if asked."""

import webbrowser
from typing import Annotated, Final

import typer

from stages.program.main import reported_errors
from storage.errors import DataError
from storage.paths import RESULTS

PAGE: Final = RESULTS / "report.html"

Open = Annotated[bool, typer.Option("--open", help="Open the page in the browser.")]


def report(to_open: Open = False) -> None:  # noqa: FBT002 - typer's option
    """Name the page of the results; --open shows it."""
    with reported_errors():
        if not PAGE.exists():
            raise DataError(f"{PAGE} must exist, got no file: dvc repro report writes it")
        if to_open and not webbrowser.open(PAGE.absolute().as_uri()):
            raise DataError(f"a browser must be installed to open {PAGE}, got none")
    print(PAGE)
