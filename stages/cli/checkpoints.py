"""``usam checkpoints``: downloads weights of models."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated, Final

import typer

from pipeline.sam.families import FAMILIES
from stages.program.main import reported_errors
from stages.program.progress import progress
from storage.checkpoints import weights

MB: Final = 1_000_000

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Download weights of models.")


@app.command()
def fetch(
    family: Annotated[str, typer.Argument(help="Any but mini, which needs no download.")],
    model: Annotated[
        list[str] | None,
        typer.Option(help="One of the family; may be given many times. All by default."),
    ] = None,
) -> None:
    """Download the weights of a family's models and check their sha256; skip intact files.

    The licence of the weights is printed.
    """
    with reported_errors():
        records = [weights.checkpoint(family, name) for name in model or ()]
        records = records or weights.checkpoints(family)
        for record in records:
            with download_bar(f"fetch {family} {record.model}", record.size_bytes) as bar:
                path = weights.fetch(record, advance=bar)
            print(f"{path} is intact")
    for licence in dict.fromkeys(FAMILIES[record.family].licence for record in records):
        print(f"licence of the weights: {licence}")


@contextmanager
def download_bar(label: str, size_bytes: int) -> Iterator[Callable[[int], None]]:
    """Function that advances a progress bar in MB by numbers of downloaded bytes.

    The bar is drawn at the first call, since an intact file is not downloaded, and ends with the
    block. ``label`` is the text before the bar.
    """
    done_bytes = 0
    bar: Callable[[int], None] | None = None

    def advance(n_bytes: int) -> None:
        nonlocal bar, done_bytes
        bar = bar or stack.enter_context(progress(label, _mb(size_bytes), unit="MB"))
        bar(_mb(done_bytes + n_bytes) - _mb(done_bytes))
        done_bytes += n_bytes

    with ExitStack() as stack:
        yield advance


def _mb(n_bytes: int) -> int:
    return -(-n_bytes // MB)
