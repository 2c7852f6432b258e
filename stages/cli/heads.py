"""``usam heads``: shows, exports, imports, downloads and describes head files."""

import re
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from pipeline.heads.kinds import KINDS, HeadSet
from pipeline.sam.families import FAMILIES
from pipeline.vocabulary import PROTOCOL_TOKENS, PROTOCOLS
from stages.cards.readme import heads_card
from stages.cli.checkpoints import DownloadBar
from stages.cli.columns import aligned, bytes_text
from stages.predictor import card_entries
from stages.predictor.model_choice import OF_USERS
from stages.predictor.published import read_published
from stages.program.main import reported_errors
from stages.settings.params import read_params
from stages.settings.parsing import check_known
from storage.head_files import head_file, published_heads
from storage.paths import HEADS, heads_dir, objects_path
from storage.split.object_table import read_objects

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Show, export, download and describe trained heads.",
)

app.command("card")(heads_card)


@app.command()
def export(
    split: Annotated[str, typer.Argument(help="Train split whose heads to write.")],
    file: Annotated[Path, typer.Argument(help="File to write, usually named *.safetensors.")],
    protocol: Annotated[str, typer.Option(help="selected or best.")] = OF_USERS.protocol,
    tokens: Annotated[
        str, typer.Option(help="Token set that the heads read; of a ladder, FAMILY/SET.")
    ] = OF_USERS.tokens,
    kind: Annotated[str, typer.Option(help="Kind of heads, see docs/method.md.")] = OF_USERS.kind,
    half: Annotated[bool, typer.Option("--half", help="Half precision: half the bytes.")] = False,  # noqa: FBT002
    gates: Annotated[
        str | None, typer.Option(help="Eval split whose gates of `usam gate` go into the card.")
    ] = None,
) -> None:
    """Write trained heads as one file, for `usam predict`.

    Its card holds the colours of the training images, if those are here; images unlike them get
    no advice.
    """
    with reported_errors():
        check_known("protocol", protocol, PROTOCOLS)
        reads, _, token_set = tokens.rpartition("/")
        check_known("tokens", token_set, PROTOCOL_TOKENS[protocol])
        check_known("heads", kind, KINDS)
        head_set = HeadSet(protocol, token_set, kind, reads)
        if not heads_dir(split).is_dir():
            check_known("train split", split, _train_splits())
        _check_reads(split, head_set)
        trained = head_file.read_head_set(split, head_set)
        calibrated = card_entries.read_gates(gates, head_set, split) if gates else ()
        entries = {**card_entries.gates_entry(calibrated), **_colours_of(split)}
        exported = head_file.HeadFile(trained.weights, {**trained.card, **entries})
        head_file.write_head_file(file, exported, half=half)
    print(_written(file, len(trained.weights)))


@app.command()
def fetch(
    family: Annotated[str, typer.Argument(help="sam2 or sam2.1; mini's come with the package.")],
) -> None:
    """Download the heads that UncertainSAM's authors publish."""
    with reported_errors():
        heads = published_heads.published_heads(family)
        print(
            f"note: the heads are those of {published_heads.REPOSITORY} at commit "
            f"{published_heads.COMMIT[:8]}, which states no licence: they are the authors' and no "
            "part of usam-cache; ask them before you pass the files on",
            file=sys.stderr,
        )
        for head in heads:
            with ExitStack() as stack:
                bar = DownloadBar(f"fetch {family} {head.name}", stack)
                published_heads.fetch(head, progressbar=bar)
        file = published_heads.published_file(family)
        joined = read_published(published_heads.FOLDER / family, family)
        head_file.write_head_file(file, joined)
    print(_written(file, len(joined.weights)))


@app.command("import")
def import_published(
    folder: Annotated[Path, typer.Argument(help="Folder of nine heads, <name>/model.pth each.")],
    file: Annotated[Path, typer.Argument(help="File to write.")],
    family: Annotated[str, typer.Option(help="Family of the models that they learned from.")],
) -> None:
    """Join the nine heads of UncertainSAM's authors into one file."""
    with reported_errors():
        check_known("family", family, FAMILIES)
        joined = read_published(folder, family)
        head_file.write_head_file(file, joined)
    print(_written(file, len(joined.weights)))


def _check_reads(split: str, head_set: HeadSet) -> None:
    """Refuse tokens of a ladder that no head set reads; each of its sets reads those of one family.

    Raises
    ------
    ParamsError
        Naming the tokens of the head sets here.
    """
    file = head_file.head_set_path(split, head_set)
    folder = file.parents[1] if head_set.reads else file.parent
    trained = [f"{path.parent.name}/{path.stem}" for path in sorted(folder.glob(f"*/{file.name}"))]
    if trained:
        check_known("tokens", head_set.tokens_read, trained)


def _train_splits() -> tuple[str, ...]:
    """Train splits of the settings, and other splits with heads here."""
    trained = sorted(path.name for path in HEADS.glob("*/"))
    return tuple(dict.fromkeys((*read_params().train_splits, *trained)))


def _colours_of(split: str) -> dict[str, str]:
    """Entry with the colours of a train split's images; without the images, print a note."""
    location = read_params().splits.get(split)
    folder = None if location is None else Path(location.images)
    if folder is None or not folder.exists() or not objects_path(split).exists():
        print(
            f"note: the images of {split} are not here, so the card cannot say which images "
            "are unlike them",
            file=sys.stderr,
        )
        return {}
    return card_entries.colours_entry(read_objects(objects_path(split)), folder)


def _written(file: Path, n_heads: int) -> str:
    return f"{file}: {n_heads} heads, {bytes_text(file.stat().st_size)}"


@app.command()
def info(
    file: Annotated[
        Path | None, typer.Argument(help="File of `export`; by default the packaged one.")
    ] = None,
) -> None:
    """Print what heads learned, from what, and how well."""
    with reported_errors():
        path = file or head_file.shipped_heads()
        heads = head_file.read_head_file(path)
        lines = [("file", str(path)), ("size", bytes_text(path.stat().st_size))]
        hidden = (head_file.OBJECTIVES, card_entries.COLOURS)
        lines += [(key, value) for key, value in heads.card.items() if key not in hidden]
        if colours := card_entries.training_colours(heads.card):
            lines.append((card_entries.COLOURS, f"of {colours.n_images} images"))
        by_objective = heads.by_objective
        names = list(dict.fromkeys(key for facts in by_objective.values() for key in facts))
        rows = [("objective", *names)]
        rows += [
            (objective, *(_four_digits(facts.get(key, "-")) for key in names))
            for objective, facts in by_objective.items()
        ]
    print(aligned(lines), aligned(rows), sep="\n\n")


def _four_digits(value: str) -> str:
    """Round a validation error to four digits; leave other entries unchanged."""
    return f"{float(value):.4f}" if re.fullmatch(r"0\.[0-9]{5,}", value) else value
