"""Weights of the SAM2 models: place, source and state."""

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pipeline.sam.families import check_model, models_of
from storage.errors import WeightsError
from storage.files.download import download, is_intact
from storage.folders import sha256_file

TABLES: Final = Path(__file__).parent
"""One CSV per family, so that a stage can depend on the family it uses."""

BASE_URL: Final = "https://dl.fbaipublicfiles.com/segment_anything_2"
"""Where Meta serves its files: ``<folder>/<file>`` below it."""

State = Literal["intact", "missing", "damaged", "unlisted"]
"""State of a weights file: as listed; absent; of another sha256; there, but with none listed."""


@dataclass(frozen=True)
class Checkpoint:
    """One line of a family's table.

    ``config`` is the name of the model's configuration in the ``sam2`` package, empty for ``mini``,
    whose configurations are in this project. ``folder`` is the one on Meta's server, empty where
    the file comes with the package.
    """

    family: str
    model: str
    config: str
    file: str
    folder: str
    size_bytes: int | None
    sha256: str | None

    @property
    def path(self) -> Path:
        """Path of the file: in the package, or below ``checkpoints`` in the working folder."""
        if self.family == "mini":
            return TABLES / "mini_weights" / self.file
        return Path("checkpoints", self.family, self.file)


def checkpoint(family: str, model: str) -> Checkpoint:
    """A model's line in the table of its family.

    Raises
    ------
    WeightsError
        If there is no such family, or it has no such model.
    """
    try:
        check_model(family, model)
    except ValueError as error:
        raise WeightsError(str(error)) from error
    with (TABLES / f"{family}.csv").open(newline="", encoding="utf-8") as table:
        line = next(line for line in csv.DictReader(table) if line["model"] == model)
    return Checkpoint(
        family=family,
        model=model,
        config=line["config"],
        file=line["file"],
        folder=line["folder"],
        size_bytes=int(line["bytes"]) if line["bytes"] else None,
        sha256=line["sha256"] or None,
    )


def checkpoints(family: str) -> list[Checkpoint]:
    """Lines of all models of a family, the smallest first.

    Raises
    ------
    WeightsError
        If there is no such family.
    """
    try:
        return [checkpoint(family, model) for model in models_of(family)]
    except ValueError as error:
        raise WeightsError(str(error)) from error


def weights_path(family: str, model: str) -> Path:
    """Path of a model's weights, which need not exist."""
    return checkpoint(family, model).path


def state(record: Checkpoint) -> State:
    """Whether a weights file is as listed; reads all of it."""
    if not record.path.exists():
        return "missing"
    if record.sha256 is None:
        return "unlisted"
    return "intact" if is_intact(record.path, record.sha256) else "damaged"


def verified_weights(family: str, model: str) -> tuple[Path, str]:
    """Path and sha256 of a model's weights, after comparing the file with its listed sha256.

    Where there is no such file, one that Hugging Face's library has downloaded will do.

    Raises
    ------
    WeightsError
        If the name is unknown, no sha256 is listed, the file is missing (the message has the
        command that fetches it), or it has another sha256 (both are named).
    """
    record = checkpoint(family, model)
    if record.sha256 is None:
        raise WeightsError(
            f"weights of {family} {model} must have a sha256 in storage/checkpoints/{family}.csv, "
            "got none: the family has no trained weights yet, set extract.weights to random"
        )
    path = record.path if record.path.exists() else hub_file(record.sha256)
    if path is None:
        raise WeightsError(f"{record.path} must exist, got no file: {_remedy(record)}")
    sha256 = sha256_file(path)
    if sha256 != record.sha256:
        raise WeightsError(
            f"{path} must have sha256 {record.sha256}, got {sha256}: {_remedy(record)}"
        )
    return path, sha256


def models_there(family: str) -> tuple[str, ...]:
    """Models of a family whose weights are there, from small to large; their bytes are not read."""
    return tuple(
        record.model
        for record in checkpoints(family)
        if record.path.exists() or (record.sha256 and hub_file(record.sha256))
    )


def hub_file(sha256: str) -> Path | None:
    """A file in the cache of Hugging Face's library, which names large files by their sha256."""
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    hub = Path(os.environ.get("HF_HUB_CACHE", home / "hub")).expanduser()
    return next(hub.glob(f"models--*/blobs/{sha256}"), None)


def fetch(record: Checkpoint, *, progressbar: object | None = None) -> Path:
    """Download a weights file, see ``download``.

    Raises
    ------
    WeightsError
        If the family is not one that is downloaded, the server cannot be read or serves another
        file, or the file cannot be written.
    """
    if not record.folder or record.sha256 is None:
        raise WeightsError(
            f"family must be one that is downloaded, got {record.family!r}: "
            f"its weights are kept as {record.path}"
        )
    url = f"{BASE_URL}/{record.folder}/{record.file}"
    return download(url, record.path, record.sha256, progressbar=progressbar)


def _remedy(record: Checkpoint) -> str:
    if record.folder:
        return f"run usam checkpoints fetch {record.family} --model {record.model}"
    return f"run git checkout {record.path}, or outside a clone install usam-cache again"
