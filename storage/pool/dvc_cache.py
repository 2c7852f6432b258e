"""DVC's cache: finds outputs that DVC removed before a run, and repairs shared damage."""

import hashlib
import json
import shutil
from collections.abc import Iterable
from configparser import ConfigParser, Error
from pathlib import Path
from typing import Final

import yaml
from yaml import YAMLError

from storage.folders import whole_file

LOCK: Final = Path("dvc.lock")
CONFIG: Final = Path(".dvc")
"""Files of DVC, in the root of the repository."""

READ_ONLY: Final = 0o444
"""Mode of the files in DVC's cache."""

FAULTS: Final = (OSError, ValueError, KeyError, TypeError, AttributeError, YAMLError, Error)
"""What a file of DVC's raises that is missing or not as DVC writes it: then nothing is recorded."""


def recorded_listings(lock: Path = LOCK) -> dict[str, str]:
    """Digest of the listing of each output folder in a ``dvc.lock``, by its path."""
    try:
        # By libyaml, which a PyYAML built from source may lack: in Python, the demo's takes 0.2 s,
        # a tenth of an extraction that only publishes.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        stages = yaml.load(lock.read_bytes(), Loader=loader)["stages"]  # noqa: S506 - both are
        outs = [out for stage in stages.values() for out in stage.get("outs", [])]
        return {out["path"]: out["md5"] for out in outs if "md5" in out}
    except FAULTS:
        return {}


def lay_out(listing: str, folder: Path) -> bool:
    """Recreate an output folder from DVC's cache, by links.

    Parameters
    ----------
    listing
        Digest of its listing, from ``recorded_listings``.

    Returns
    -------
    Whether the cache has all of it; if not, nothing is laid out.
    """
    try:
        files = {
            folder / file["relpath"]: _cached(file["md5"])
            for file in json.loads(_cached(listing).read_bytes())
        }
    except FAULTS:
        return False
    if not all(cached.is_file() for cached in files.values()):
        return False
    shutil.rmtree(folder, ignore_errors=True)
    for path, cached in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(cached.absolute())
    return True


def mend_cache(files: Iterable[Path]) -> list[Path]:
    """Replace damaged files in DVC's cache, which outputs may link, by repaired ones.

    Returns
    -------
    Files of the cache that were replaced.
    """
    mended = []
    for file in files:
        md5 = _md5(file)
        cached = _cached(md5)
        if cached.exists() and _md5(cached) != md5:
            with whole_file(cached) as partial:
                shutil.copyfile(file, partial)
                partial.chmod(READ_ONLY)
            mended.append(cached)
    return mended


def _md5(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _cached(md5: str) -> Path:
    return _cache_dir() / "files" / "md5" / md5[:2] / md5[2:]


def _cache_dir() -> Path:
    """Folder of DVC's cache: in the repository, or as its settings say."""
    config = ConfigParser(interpolation=None)
    config.read([CONFIG / "config", CONFIG / "config.local"])
    folder = Path(config.get("cache", "dir", fallback="cache").strip("\"'"))
    return folder if folder.is_absolute() else CONFIG / folder
