"""Versions of what the stages that take hours compute, of which DVC reads ``versions.yaml``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from stages.settings.parsing import ParamsError, read_yaml
from storage.errors import shown

VERSIONS_FILE: Final = Path("versions.yaml")

VERSIONS: Final[Mapping[str, int]] = {"extract": 9, "entropy": 2, "tune": 1, "train": 2}
"""What this code computes, by stage; ``extract_train`` has the version of ``extract``."""


def check_versions(path: Path = VERSIONS_FILE) -> None:
    """Refuse versions other than this code's, under which DVC would record results.

    Raises
    ------
    ParamsError
        If one differs, is missing or unknown; the message has the versions of file and code.
    """
    found = read_yaml(path)
    if found != VERSIONS:
        raise ParamsError(
            f"{path} must be {_listed(VERSIONS)}, the versions of what this code computes, got "
            f"{_listed(found)}"
        )


def _listed(versions: Mapping[str, object]) -> str:
    return ", ".join(f"{stage}: {shown(version)}" for stage, version in versions.items())


def version_entry(stage: str) -> dict[str, int]:
    """A stage's version as signatures and metadata have it; the first has no entry."""
    version = VERSIONS[stage]
    return {f"{stage}_version": version} if version > 1 else {}
