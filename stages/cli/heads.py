"""``usam heads``: fits, shows, exports, downloads and describes head files."""

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.heads.kinds import KINDS, HeadSet
from pipeline.heads.scope import DRAWN_SHAPES
from pipeline.heads.training_images import TrainingImages
from pipeline.vocabulary import PROTOCOL_TOKENS, PROTOCOLS
from stages.cards.readme import heads_card
from stages.cli.checkpoints import download_bar
from stages.cli.columns import aligned, bytes_text
from stages.cli.heads_fit import fit
from stages.predictor.card_entries import read_gates
from stages.predictor.model_choice import OF_USERS
from stages.predictor.published import read_published
from stages.program.main import reported_errors
from stages.settings.params import cache_location, read_params
from stages.settings.parsing import check_known
from stages.settings.signatures import train_settings
from stages.training.data import describe_images, learned_from
from storage.folders import check_output
from storage.head_files import head_file, published_heads
from storage.head_files.guarantees import GATES, evidence_entry
from storage.paths import HEADS, SHAPES, heads_dir, remedy
from storage.split.split_cells import open_cells

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Fit, show, export, download and describe heads.",
)

app.command("card")(heads_card)
app.command()(fit)


@app.command()
def export(
    split: Annotated[str, typer.Argument(help="Train split whose heads to write.")],
    file: Annotated[Path, typer.Argument(help="File to write, usually named *.safetensors.")],
    protocol: Annotated[str, typer.Option(help="selected or best.")] = OF_USERS.protocol,
    tokens: Annotated[str, typer.Option(help="Token set that the heads read.")] = OF_USERS.tokens,
    kind: Annotated[str, typer.Option(help="Kind of heads, see docs/method.md.")] = OF_USERS.kind,
    half: Annotated[bool, typer.Option("--half", help="Half precision: half the bytes.")] = False,  # noqa: FBT002
    gates: Annotated[
        str | None, typer.Option(help="Eval split whose gates of `usam gate` go into the card.")
    ] = None,
) -> None:
    """Write trained heads as one file, for `usam predict`.

    If the features that the heads learned from are here, the file also describes the training
    images, and `usam predict` gives no advice for images that are unlike them.
    """
    with reported_errors():
        check_output(file, head_file.BEGINS)
        check_known("protocol", protocol, PROTOCOLS)
        check_known("tokens", tokens, PROTOCOL_TOKENS[protocol])
        check_known("heads", kind, KINDS)
        head_set = HeadSet(protocol, tokens, kind)
        if not heads_dir(split).is_dir():
            check_known("train split", split, _train_splits())
        trained = head_file.read_head_set(split, head_set)
        calibrated = read_gates(gates, head_set, split) if gates else ()
        entries = {head_file.IMAGES: _contents(split)}
        if calibrated:
            entries |= evidence_entry(GATES, calibrated)
        exported = head_file.HeadFile(
            trained.weights, {**trained.card, **entries}, _training_images(split, head_set, trained)
        )
        head_file.write_head_file(file, exported, half=half)
    print(_written(file, len(trained.weights)))


@app.command()
def fetch(
    family: Annotated[str, typer.Argument(help="sam2 or sam2.1; mini's come with the package.")],
) -> None:
    """Download the heads that UncertainSAM's authors publish.

    They are joined into the head file that predictors of the family read by default.
    """
    with reported_errors():
        heads = published_heads.published_heads(family)
        print(
            f"note: the heads are those of {published_heads.REPOSITORY} at commit "
            f"{published_heads.COMMIT[:8]}, which states no licence: they are the authors' and no "
            "part of usam-cache; ask them before you pass the files on",
            file=sys.stderr,
        )
        for head in heads:
            with download_bar(f"fetch {family} {head.name}", head.size_bytes) as bar:
                published_heads.fetch(head, advance=bar)
        file = published_heads.published_file(family)
        joined = read_published(published_heads.FOLDER / family, family)
        head_file.write_head_file(file, joined)
    print(_written(file, len(joined.weights)))


def _train_splits() -> tuple[str, ...]:
    """Train splits of the settings, and other splits that have a folder of trained heads."""
    trained = sorted(path.name for path in HEADS.glob("*/"))
    return tuple(dict.fromkeys((*read_params().train_splits, *trained)))


def _contents(split: str) -> str:
    """Text about the images of a train split, for the card of a head file."""
    location = read_params().splits.get(split)
    is_drawn = location is not None and Path(location.images).is_relative_to(SHAPES)
    return DRAWN_SHAPES if is_drawn else f"images of {split}"


def _training_images(
    split: str, head_set: HeadSet, heads: head_file.HeadFile
) -> TrainingImages | None:
    """Describe the images of a train split, so that a predictor recognises images unlike them.

    Returns None and prints a note if the settings lack the split, if its features are missing, or
    if it has fewer than ``LEAST_IMAGES`` images. Features that the heads did not learn from are an
    error.
    """
    params = read_params()
    settings = train_settings(
        params.extract, split, heads.models, params.train_prompts, params.train_views
    )
    origin = learned_from(split, settings, cache_location()) if split in params.splits else {}
    if not origin:
        print(
            f"note: the features of {split} are not here, so the file cannot say which images are "
            "unlike those that its heads learned from",
            file=sys.stderr,
        )
        return None
    path = head_file.head_set_path(split, head_set)
    head_file.check_card(path, heads.card, origin, remedy(path))
    return describe_images(open_cells(split, settings, cache=cache_location()))


def _written(file: Path, n_heads: int) -> str:
    return f"{file}: {n_heads} heads, {bytes_text(file.stat().st_size)}"


@app.command()
def info(
    file: Annotated[
        Path | None, typer.Argument(help="File of `export`; by default the packaged one.")
    ] = None,
) -> None:
    """Print what the heads in a file learned, from which features, and how well."""
    with reported_errors():
        path = file or head_file.shipped_heads()
        heads = head_file.read_head_file(path)
        lines = [("file", str(path)), ("size", bytes_text(path.stat().st_size))]
        lines += [(key, value) for key, value in heads.card.items() if key != head_file.OBJECTIVES]
        if heads.training_images is not None:
            n_images = len(heads.training_images.points)
            lines.append((head_file.TRAINING_IMAGES, f"statistics of {n_images} images"))
        by_objective = heads.by_objective
        names = list(dict.fromkeys(key for facts in by_objective.values() for key in facts))
        rows = [("objective", *names)]
        rows += [
            (objective, *(_four_digits(facts.get(key, "-")) for key in names))
            for objective, facts in by_objective.items()
        ]
    print(aligned(lines), aligned(rows), sep="\n\n")


def _four_digits(value: str) -> str:
    """Round a number below 1 with five digits or more to four; leave other texts unchanged."""
    return f"{float(value):.4f}" if re.fullmatch(r"0\.[0-9]{5,}", value) else value
