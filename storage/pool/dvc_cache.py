"""Reads and repairs DVC's cache: finds outputs that DVC removed before a run, mends its files."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from configparser import ConfigParser, Error
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, Final

import yaml
from yaml import YAMLError

from storage.folders import whole_file, write_json
from storage.paths import WORK

DVC_LOCK: Final = Path("dvc.lock")
DVC: Final = Path(".dvc")
"""Paths of DVC's lock file and of DVC's own folder, in the root of the repository."""

REPAIRED: Final = WORK / "repaired.json"
"""JSON file of files that were damaged in DVC's cache: by md5, the remotes that have received the
repaired file."""

LISTING: Final = ".dir"
"""Suffix of the md5 of a listing, DVC's file that lists the files of an output folder."""

READ_ONLY: Final = 0o444
"""File permissions of the files in DVC's cache: read-only for all."""

FAULTS: Final = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError),
    *(RecursionError, YAMLError, Error),
)
"""Types of the errors that reading a file of DVC raises if it is missing or has another form. It
then counts as empty."""


def recorded_listings(lock: Path = DVC_LOCK) -> dict[str, str]:
    """Read the md5 of each output in a ``dvc.lock``, by path; of a folder, the listing's md5.

    Empty if the file is missing or has another form.
    """
    try:
        # libyaml's loader, which a PyYAML built from source may lack: the pure Python loader takes
        # 0.2 s for the demo's file, a tenth of an extraction that only publishes.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        stages = yaml.load(lock.read_bytes(), Loader=loader)["stages"]  # noqa: S506 - both are
        outs = [out for stage in stages.values() for out in stage.get("outs", [])]
        return {out["path"]: out["md5"] for out in outs if "md5" in out}
    except FAULTS:
        return {}


def lay_out(listing: str, folder: Path) -> bool:
    """Recreate an output folder at ``folder``, which is replaced, by symbolic links to DVC's cache.

    ``listing`` is the md5 of the output folder's listing, from ``recorded_listings``. False, and
    nothing is made, if the cache lacks a file or a file would lie outside of the folder; else True.
    """
    try:
        files = _listed_files(listing, folder)
    except FAULTS:
        return False
    if not all(cached_file(md5).is_file() for md5 in files.values()):
        return False
    shutil.rmtree(folder, ignore_errors=True)
    for path, md5 in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(cached_file(md5).absolute())
    return True


def _listed_files(md5: str, output: Path) -> dict[Path, str]:
    """Md5 of each file of an output, by path; ``md5`` is the md5 of the output in ``dvc.lock``."""
    if not md5.endswith(LISTING):
        return {output: md5}
    listing = json.loads(cached_file(md5).read_bytes())
    return {output / _inside(file["relpath"]): file["md5"] for file in listing}


def _inside(relpath: str) -> PurePosixPath:
    path = PurePosixPath(relpath)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"relpath must lie below its folder, got {relpath!r}")
    return path


def mend_cache(files: Iterable[Path]) -> list[Path]:
    """Replace damaged files in DVC's cache by those of the intact ``files`` with the same md5.

    The paths of the replaced files in the cache are returned, and their md5 is noted in
    ``REPAIRED``: remotes may have the damaged file, too.
    """
    digests = ((md5_of(file), file) for file in files)
    mended = {
        md5: cached_file(md5)
        for md5, file in digests
        if cached_file(md5).exists() and not is_cached(md5) and is_mended(md5, file)
    }
    _note_repaired(mended)
    return [*mended.values()]


def drop_damaged(output: Path) -> None:
    """Remove the damaged files of an output from DVC's cache.

    DVC assumes that files in its cache are intact: after the stage has run again, DVC would put the
    damaged file in place of the new one. The md5 of each is noted in ``REPAIRED``. Nothing is done
    for an output that ``dvc.lock`` or the cache does not know.
    """
    with suppress(*FAULTS):
        files = _listed_files(recorded_listings()[output.as_posix()], output)
        damaged = [md5 for md5 in files.values() if not is_cached(md5)]
        for md5 in damaged:
            cached_file(md5).unlink(missing_ok=True)
        _note_repaired(damaged)


def altered_outputs() -> list[Path]:
    """Paths of outputs in ``dvc.lock`` that have a changed or missing file.

    Stores, and outputs that are missing as a whole, are left out.
    """
    altered = []
    for name, md5 in recorded_listings().items():
        output = Path(name)
        if output.suffix == ".zarr" or not output.exists():
            continue
        with suppress(*FAULTS):  # the listing is not in DVC's cache, or has another form
            files = _listed_files(md5, output).items()
            if any(not file.is_file() or md5_of(file) != of_file for file, of_file in files):
                altered.append(output)
    return altered


def is_cached(md5: str) -> bool:
    """Whether DVC's cache has an intact file for an md5."""
    cached = cached_file(md5)
    return cached.exists() and md5_of(cached) == md5.removesuffix(LISTING)


def is_mended(md5: str, file: Path) -> bool:
    """Copy ``file`` into DVC's cache if its md5 is ``md5``; False if it differs or is missing."""
    if not file.is_file() or md5_of(file) != md5:
        return False
    with whole_file(cached_file(md5)) as partial:
        shutil.copyfile(file, partial)
        partial.chmod(READ_ONLY)
    return True


def repaired_files() -> dict[str, Any]:
    """Read ``REPAIRED``: by md5, the remotes that have the repaired file; empty without a file."""
    return json.loads(REPAIRED.read_bytes()) if REPAIRED.exists() else {}


def _note_repaired(md5s: Iterable[str]) -> None:
    if noted := dict.fromkeys(md5s, ()):
        write_json(REPAIRED, repaired_files() | noted)


def note_sent(md5s: Iterable[str], remote: str) -> None:
    """Note in ``REPAIRED``, which has these md5s, that a remote has received repaired files."""
    noted = repaired_files()
    write_json(REPAIRED, noted | {md5: sorted({*noted[md5], remote}) for md5 in md5s})


def md5_of(file: Path) -> str:
    """Md5 of a file's bytes, in hexadecimal, which DVC uses as the file's name."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def cached_file(md5: str) -> Path:
    """Path in DVC's cache of the file with an md5."""
    return cache_dir() / "files" / "md5" / md5[:2] / md5[2:]


def cache_dir() -> Path:
    """Find the folder of DVC's cache; of DVC's settings files, the last that names a folder counts.

    The files are read in the order system, user, repository, local.
    """
    import platformdirs  # noqa: PLC0415 - comes with DVC

    of_system, of_user = (
        os.environ.get(f"DVC_{level}_CONFIG_DIR") or find("dvc", "iterative")
        for level, find in (
            ("SYSTEM", platformdirs.site_config_dir),
            ("GLOBAL", platformdirs.user_config_dir),
        )
    )
    files = Path(of_system, "config"), Path(of_user, "config"), DVC / "config", DVC / "config.local"
    folder = DVC / "cache"
    for file in files:
        config = ConfigParser(interpolation=None)
        config.read(file)
        if name := config.get("cache", "dir", fallback="").strip("\"'"):
            folder = file.parent / Path(name).expanduser()  # a relative path begins at its file
    return folder
