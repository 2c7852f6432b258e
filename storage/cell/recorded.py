"""Whether DVC has an output: only then is the work that it was made from no longer needed."""

import hashlib
import json
from collections.abc import Iterator
from configparser import ConfigParser, Error
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from storage.files.manifest import FILE

LOCK: Final = Path("dvc.lock")
CONFIG: Final = Path(".dvc")
"""Files of DVC, in the root of the repository."""

FAULTS: Final = (OSError, ValueError, KeyError, TypeError, YAMLError, Error)
"""What a file of DVC's raises that is missing or not as DVC writes it: then nothing is recorded."""


def recorded_listings(lock: Path = LOCK) -> dict[str, str]:
    """Digest of the listing of each output folder in a ``dvc.lock``, by its path."""
    try:
        stages = YAML(typ="safe").load(lock.read_bytes())["stages"]
        return {out["path"]: out["md5"] for out in _outs(stages) if "md5" in out}
    except FAULTS:
        return {}


def is_recorded(store: Path, listings: dict[str, str]) -> bool:
    """Whether DVC's cache holds this very store, by the manifest that tells of all its files.

    Parameters
    ----------
    listings
        From ``recorded_listings``: those of an earlier run of the stage do not match.
    """
    try:
        digest = listings[store.as_posix()]
        files = json.loads((_cache_dir() / "files" / "md5" / digest[:2] / digest[2:]).read_bytes())
        known = {file["relpath"]: file["md5"] for file in files}
        manifest = hashlib.md5((store / FILE).read_bytes(), usedforsecurity=False).hexdigest()
        return bool(known[FILE] == manifest)
    except FAULTS:
        return False


def _outs(stages: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for stage in stages.values():
        yield from stage.get("outs", [])


def _cache_dir() -> Path:
    """DVC's cache: in the repository, or where its settings say."""
    config = ConfigParser(interpolation=None)
    config.read([CONFIG / "config", CONFIG / "config.local"])
    folder = Path(config.get("cache", "dir", fallback="cache").strip("\"'"))
    return folder if folder.is_absolute() else CONFIG / folder
