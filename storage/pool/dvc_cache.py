"""Reads and repairs DVC's cache: finds outputs that DVC removed before a run, mends its files."""

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from configparser import ConfigParser, Error
from contextlib import suppress
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Final

import yaml
from yaml import YAMLError

from storage.folders import put_file, put_link, whole_file, write_json
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
        outs = [out for stage in _stages(lock).values() for out in stage.get("outs", [])]
        return {out["path"]: out["md5"] for out in outs if "md5" in out}
    except FAULTS:
        return {}


def readers_of(outputs: Collection[Path]) -> set[str]:
    """Names of the stages in ``dvc.lock`` that read an output, a part of it, or a folder above."""
    with suppress(*FAULTS):
        return {
            name
            for name, stage in _stages(DVC_LOCK).items()
            for path in (Path(dep["path"]) for dep in stage.get("deps", []))
            if any(path.is_relative_to(out) or out.is_relative_to(path) for out in outputs)
        }
    return set()


def _stages(lock: Path) -> dict[str, Any]:
    status = lock.stat()
    return _parsed(lock, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1)  # each output of a plan asks for it
def _parsed(lock: Path, _mtime_ns: int, _n_bytes: int) -> dict[str, Any]:
    # libyaml's loader, which a PyYAML built from source may lack: the pure Python loader takes
    # 0.2 s for the demo's file, a tenth of an extraction that only publishes.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    stages: dict[str, Any] = yaml.load(lock.read_bytes(), Loader=loader)["stages"]  # noqa: S506 - both are
    return stages


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


def is_recorded(output: Path) -> bool:
    """Whether ``dvc.lock`` records an output, in a clone where DVC has run.

    Elsewhere, the file is a colleague's: other heads or results than that records are no damage.
    """
    return cache_dir().is_dir() and output.as_posix() in recorded_listings()


def recorded_files(output: Path) -> dict[Path, str]:
    """Md5 of each file of an output that ``dvc.lock`` records, by path.

    They stand in a listing in DVC's cache. If that is missing or damaged, the files of the output
    itself count, provided that they are those of the record. Empty if the output is not recorded,
    or nothing says which files it had.
    """
    with suppress(*FAULTS):
        md5 = recorded_listings()[output.as_posix()]
        if not md5.endswith(LISTING) or is_cached(md5):
            return _listed_files(md5, output)
        entries = _entries(output)
        if _md5(_listing(entries)) == md5.removesuffix(LISTING):
            return {output / entry["relpath"]: entry["md5"] for entry in entries}
    return {}


def _entries(output: Path) -> list[dict[str, str]]:
    """Entries that DVC's listing of an output folder would have."""
    names = {file: file.relative_to(output).as_posix() for file in output.rglob("*")}
    files = sorted((file for file in names if file.is_file()), key=lambda file: names[file])
    return [{"md5": md5_of(file), "relpath": names[file]} for file in files]


def _listing(entries: Sequence[Mapping[str, str]]) -> bytes:
    return json.dumps(entries).encode()


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def altered_files(output: Path) -> dict[Path, str]:
    """Fault of each file of a recorded output, ``missing`` or ``altered``.

    It is the fault of the output itself if nothing says which files the output had.
    """
    if not (files := recorded_files(output)):
        return {output: "altered"}
    present = {file: md5_of(file) if file.is_file() else "" for file in files}
    faults = {file: "altered" if md5 else "missing" for file, md5 in present.items()}
    return {file: faults[file] for file, md5 in files.items() if present[file] != md5}


def are_kept(output: Path) -> bool:
    """Whether a recorded output lacks files, and DVC's cache has all of them intact."""
    lacking = [md5 for file, md5 in recorded_files(output).items() if not file.exists()]
    return bool(lacking) and all(map(is_cached, lacking))


def put_missing(output: Path) -> None:
    """Link or copy the missing files of a recorded output from DVC's cache."""
    for file, md5 in recorded_files(output).items():
        if not file.exists():
            put_link(cached_file(md5), file)


def lacks_cached(output: Path) -> bool:
    """Whether DVC's cache lacks an intact file or listing of a recorded, intact output.

    A link to a file in the cache is not read again.
    """
    listing = recorded_listings().get(output.as_posix(), "")
    if listing.endswith(LISTING) and recorded_files(output) and not is_cached(listing):
        return True
    return any(
        not (cached_file(md5).exists() and cached_file(md5).samefile(file))
        and not is_cached(md5)
        and md5_of(file) == md5
        for file, md5 in recorded_files(output).items()
        if file.exists()
    )


def mend_cache(output: Path) -> None:
    """Put the files of a recorded output into DVC's cache, in place of missing and damaged ones.

    A damaged file that the output does not have intact is removed: DVC takes the files in its cache
    for intact, and would put it in place of a new one. The md5 of each damaged file is noted in
    ``REPAIRED``: remotes may have the damaged file, too.
    """
    files = recorded_files(output)
    damaged = [md5 for md5 in files.values() if not is_cached(md5) and cached_file(md5).exists()]
    for file, md5 in files.items():
        if not is_cached(md5) and not is_mended(md5, file):
            cached_file(md5).unlink(missing_ok=True)
    listing = recorded_listings().get(output.as_posix(), "")
    if listing.endswith(LISTING) and not is_cached(listing):
        damaged += [listing] if cached_file(listing).exists() else []
        cached_file(listing).unlink(missing_ok=True)
        if files:
            put_file(cached_file(listing), _listing(_entries(output)))
            cached_file(listing).chmod(READ_ONLY)
    _note_repaired(damaged)


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
