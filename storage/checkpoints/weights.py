"""Weights of the models: where their files are and come from, and whether they are intact."""

import csv
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urljoin

from pipeline.sam.families import FAMILIES, check_model, models_of
from storage.errors import WeightsError
from storage.files.download import download, is_intact
from storage.folders import sha256_file, write_text
from storage.paths import reinstall_command

TABLES: Final = Path(__file__).parent
"""Folder with one CSV per family, so that a stage depends on the table of its family alone."""

META_URL: Final = "https://dl.fbaipublicfiles.com/segment_anything_2"
"""Address of Meta's weights of SAM 2; a file is at ``<address>/<folder>/<file>``."""

FILE: Final = "file"
"""Setting of weights: the file that the family's table lists."""

RANDOM: Final = re.compile("random-(0|[1-9][0-9]{0,9})")
"""Setting of weights: random ones, by their seed. Any other setting is the path of a file."""

State = Literal["intact", "missing", "damaged", "unlisted"]
"""State of a weights file: its sha256 is as listed; the file is absent; its sha256 differs from the
listed one; the file is there, but the table lists no sha256."""


@dataclass(frozen=True)
class Checkpoint:
    """The weights file of one model, as a line of its family's CSV table describes it.

    Attributes
    ----------
    config
        Name of the model's configuration in the ``sam2`` package; empty for ``mini``, whose
        configurations are in this project.
    folder
        Folder on Meta's server, the whole address of a folder, or a repository of Hugging Face with
        its owner; empty if the file comes with this package.
    sha256
        From the table. For a file from Hugging Face without a listed sha256, it is recorded on
        first use. For a file of the user, it is that of ``digest_path`` or else of the file.
    own
        Path of a file of the user, whose weights replace those of the family; None for these.
    """

    family: str
    model: str
    config: str
    file: str
    folder: str
    size_bytes: int
    sha256: str | None
    own: Path | None = None

    @property
    def path(self) -> Path:
        """Path of the weights file: in the package for ``mini``, else below ``checkpoints``."""
        if self.own is not None:
            return self.own
        if not self.folder:
            return TABLES / f"{self.family.replace('-', '_')}_weights" / self.file
        return Path("checkpoints", self.family, self.file)

    @property
    def is_on_hub(self) -> bool:
        """Whether the weights file is downloaded from Hugging Face."""
        return "/" in self.folder and ":" not in self.folder

    @property
    def digest(self) -> str:
        """The sha256, or ``not listed``, as signatures and cards of heads have it."""
        return self.sha256 or "not listed"

    @property
    def digest_path(self) -> Path:
        """Path of the file that records the sha256 if the table lists none; git tracks the file."""
        return self.path.parent / f"{self.file}.sha256"


def checkpoint(family: str, model: str, weights: str = FILE) -> Checkpoint:
    """Describe the weights file of a model: the family's or, by its path, a file of the user.

    If the table lists no sha256 of a file from Hugging Face, it is read from ``digest_path``, which
    is written now if the weights file is there. Raises a WeightsError if the family or its model is
    unknown.
    """
    try:
        check_model(family, model)
    except ValueError as error:
        raise WeightsError(str(error)) from error
    with (TABLES / f"{family}.csv").open(newline="", encoding="utf-8") as table:
        line = next(line for line in csv.DictReader(table) if line["model"] == model)
    record = Checkpoint(
        family=family,
        model=model,
        config=line["config"],
        file=line["file"],
        folder=line["folder"],
        size_bytes=int(line["bytes"]),
        sha256=line["sha256"] or None,
    )
    if weights != FILE:
        return _of_user(record, Path(weights))
    return record if record.sha256 or not record.is_on_hub else _recorded(record)


def seed_of(weights: str) -> int | None:
    """Seed of random weights, whose setting is ``random-SEED``; None for other settings.

    >>> seed_of("random-3"), seed_of("file"), seed_of("mine.pt")
    (3, None, None)
    """
    return int(weights.removeprefix("random-")) if RANDOM.fullmatch(weights) else None


def _of_user(record: Checkpoint, path: Path) -> Checkpoint:
    """Return ``record`` with a file of the user, and the sha256 in ``digest_path`` or of the file.

    The sha256 is None if neither is there.
    """
    own = replace(record, file=path.name, folder="", own=path, sha256=None)
    if own.digest_path.exists():
        return _recorded(own)
    if not path.is_file():
        return own
    stat = path.stat()
    return replace(own, sha256=_sha256_of(path, stat.st_mtime_ns, stat.st_size, stat.st_ino))


@lru_cache(maxsize=16)
def _sha256_of(path: Path, *_state: int) -> str:
    """Sha256 of a file, which is read again only if its state has changed: a file may be large."""
    return sha256_file(path)


def check_there(record: Checkpoint) -> None:
    """Refuse a file of the user that is not there and whose sha256 no ``digest_path`` has."""
    if record.own is not None and record.sha256 is None:
        raise WeightsError(f"{record.path} must exist, got no file: {remedy_of(record)}")


def record_digest(record: Checkpoint) -> None:
    """Write ``digest_path`` of a file of the user, so that the file cannot change unnoticed.

    Nothing is written for files of the family. Raises a WeightsError if the folder of the file
    cannot be written to.
    """
    if record.own is None or record.sha256 is None or record.digest_path.exists():
        return
    try:
        write_text(record.digest_path, f"{record.sha256}\n")
    except OSError as error:
        raise WeightsError(
            f"{record.digest_path} must be writable, to keep the sha256 of the weights, got "
            f"{error.strerror}: link {record.path} into this project, and name the link"
        ) from error


def _recorded(record: Checkpoint) -> Checkpoint:
    """Return ``record`` with the sha256 in ``digest_path``; without that file, write it now.

    Without that file and without the weights file, ``record`` is returned as it is.
    """
    if not record.digest_path.exists():
        path = _there(record)
        if path is None:
            return record
        record.digest_path.parent.mkdir(parents=True, exist_ok=True)
        record.digest_path.write_text(f"{sha256_file(path)}\n", "utf-8")
    return replace(record, sha256=record.digest_path.read_text("utf-8").strip())


def _there(record: Checkpoint) -> Path | None:
    """Path of an existing weights file: ``record.path``, else one in Hugging Face's cache.

    None if it is in neither. Its sha256 is not checked.
    """
    if record.path.is_file():
        return record.path
    if record.own is not None:
        return None
    cache = _hub_cache()
    if record.sha256:  # Hugging Face names large files by their sha256, in every repository
        for blob in cache.glob(f"models--*/blobs/{record.sha256}"):
            return blob
    folder = cache / f"models--{record.folder.replace('/', '--')}"
    revision = folder / "refs" / "main"  # it holds the revision of the last download
    if not record.is_on_hub or not revision.is_file():
        return None
    path = folder / "snapshots" / revision.read_text("utf-8").strip() / record.file
    return path if path.is_file() else None


def _hub_cache() -> Path:
    """Folder of the cache of Hugging Face's library, resolved as in ``huggingface_hub.constants``.

    The library is optional and is not imported here.
    """
    read = os.environ.get
    home = _expanded(read("HF_HOME", Path(read("XDG_CACHE_HOME", "~/.cache"), "huggingface")))
    return _expanded(read("HF_HUB_CACHE", read("HUGGINGFACE_HUB_CACHE", home / "hub")))


def _expanded(path: str | Path) -> Path:
    return Path(os.path.expandvars(Path(path).expanduser()))


def checkpoints(family: str) -> list[Checkpoint]:
    """Weights files of all models of a family, the smallest first; a WeightsError if unknown."""
    try:
        return [checkpoint(family, model) for model in models_of(family)]
    except ValueError as error:
        raise WeightsError(str(error)) from error


def named_weights(sha256: str) -> str:
    """Family and model whose weights have a sha256; the sha256 itself if no table lists it.

    >>> named_weights("7dc0b0c662ac86625d9bd6222bc3c780020901197ffb5bcd5849d3444b352d49")
    'mini tiny'
    """
    records = (record for family in FAMILIES for record in checkpoints(family))
    names = (f"{record.family} {record.model}" for record in records if record.sha256 == sha256)
    return next(names, sha256)


def state(record: Checkpoint) -> State:
    """Compare a weights file with its listed sha256, and return its ``State``; the file is read."""
    path = _there(record)
    if path is None:
        return "missing"
    if record.sha256 is None:
        return "unlisted"
    return "intact" if is_intact(path, record.sha256) else "damaged"


def verified_weights(family: str, model: str, weights: str = FILE) -> tuple[Path, str]:
    """Path and sha256 of a model's weights, after comparing the file with its listed sha256.

    ``weights`` may be the path of a file of the user, which is compared with ``digest_path``. If a
    file of the family is missing, one that Hugging Face's library has downloaded is used. Nothing
    is downloaded. Raises a WeightsError if the name is unknown, no sha256 is listed, the file is
    missing (the message has the command that fetches it), or it has another sha256 (both are
    named).
    """
    record = checkpoint(family, model, weights)
    if record.sha256 is None and not record.is_on_hub and record.own is None:
        raise WeightsError(
            f"weights of {family} {model} must have a sha256 in storage/checkpoints/{family}.csv, "
            "got none: the family has no trained weights yet, set extract.weights to random-0"
        )
    path = _there(record)
    if path is None or record.sha256 is None:
        raise WeightsError(f"{record.path} must exist, got no file: {remedy_of(record)}")
    sha256 = sha256_file(path)
    if sha256 != record.sha256:
        remedy = remedy_of(record)
        if record.is_on_hub and path == record.path:
            remedy = f"remove it and {remedy}"
        if record.digest_path.exists() and record.own is None:
            remedy += f", or remove {record.digest_path} to use it"
        raise WeightsError(f"{path} must have sha256 {record.sha256}, got {sha256}: {remedy}")
    return path, sha256


def models_there(family: str) -> tuple[str, ...]:
    """Models of a family whose weights files are on the disk, intact or not, the smallest first."""
    return tuple(record.model for record in checkpoints(family) if is_there(record))


def is_there(record: Checkpoint) -> bool:
    """Whether a weights file is on the disk, intact or not."""
    return _there(record) is not None


def fetch(record: Checkpoint, *, advance: Callable[[int], object] = int) -> Path:
    """Download a weights file unless it is there intact; return its path.

    The file comes from Meta or, for ``is_on_hub``, from Hugging Face's library into its cache.
    ``advance`` is as for ``download``; that library ignores it.

    Raises
    ------
    WeightsError
        If the family's weights come with the package, Hugging Face gives no access, the server
        cannot be read or serves another file, the file cannot be written, or a damaged file of an
        ``is_on_hub`` record is at ``record.path``.
    ModuleNotFoundError
        If Hugging Face's library is needed and not installed.
    """
    if record.is_on_hub:
        return _fetch_from_hub(record)
    if not record.folder or record.sha256 is None:
        raise WeightsError(
            f"family must be one that is downloaded, got {record.family!r}: "
            f"its weights are kept as {record.path}"
        )
    url = urljoin(f"{META_URL}/", f"{record.folder}/{record.file}")
    return download(url, record.path, record.sha256, record.size_bytes, advance=advance)


def _fetch_from_hub(record: Checkpoint) -> Path:
    """Download a file from Hugging Face into the cache of its library, and return its path.

    Nothing is downloaded if the file is intact in the cache, or any file is at ``record.path``; a
    damaged file there is refused.
    """
    if not record.path.exists() and (before := state(record)) != "intact":
        hub, errors = (import_module(f"huggingface_hub{name}") for name in ("", ".errors"))
        try:
            # Its library takes a file in its cache for intact.
            is_damaged = before == "damaged"
            hub.hf_hub_download(record.folder, record.file, force_download=is_damaged)
        except errors.GatedRepoError as error:
            raise WeightsError(
                f"{record.folder} must let you in to its {record.file}, got no access: log in to "
                f"Hugging Face, accept the {FAMILIES[record.family].licence} on the page of "
                f"{record.folder}, wait until that is granted, run `hf auth login` and then this "
                "again"
            ) from error
        except OSError as error:
            first = str(error).strip().partition("\n")[0]
            raise WeightsError(
                f"{record.file} of {record.folder} must download from Hugging Face, got {first}; "
                f"run it again or, without a network, bring the file from elsewhere as "
                f"{record.file} into {record.path.parent}"
            ) from error
        if state(record) == "damaged":
            raise WeightsError(
                f"{record.file} of {record.folder} must have sha256 {record.sha256}, got another "
                f"file there: bring that file from elsewhere as {record.file} into "
                f"{record.path.parent}"
            )
    return verified_weights(record.family, record.model)[0]


def remedy_of(record: Checkpoint) -> str:
    """Part of a message: the command that brings a missing or damaged weights file."""
    if record.own is not None:
        is_known = record.digest_path.exists()
        other = "give other weights a file name of their own"
        return f"bring that file back, or {other}" if is_known else "name a file that is there"
    if record.folder:
        return f"run usam checkpoints fetch {record.family} --model {record.model}"
    return reinstall_command(record.path)
