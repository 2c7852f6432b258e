"""Versions of the stages that take hours; DVC reads the versions from ``versions.yaml``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from stages.settings.parsing import ParamsError, read_yaml
from storage.errors import shown

VERSIONS_FILE: Final = Path("versions.yaml")

VERSIONS: Final[Mapping[str, int]] = {
    "extract": 10,
    "embed": 1,
    "entropy": 4,
    "tune": 1,
    "train": 6,
}
"""Version of the numbers that this code computes, by stage; ``extract_train`` has ``extract``'s."""


def check_versions(path: Path = VERSIONS_FILE) -> None:
    """Refuse a ``versions.yaml`` that differs from ``VERSIONS``: DVC would record wrong versions.

    Raises
    ------
    ParamsError
        If a version differs, is missing or is unknown; the message has the versions of both.
    """
    versions = read_yaml(path)
    if versions != VERSIONS:
        raise ParamsError(
            f"{path} must be {_listed(VERSIONS)}, the versions of what this code computes, got "
            f"{_listed(versions)}"
        )


def _listed(versions: Mapping[str, object]) -> str:
    return ", ".join(f"{stage}: {shown(version)}" for stage, version in versions.items())


def version_entry(stage: str) -> dict[str, int]:
    """Entry ``<stage>_version`` for signatures and metadata; empty for version 1."""
    version = VERSIONS[stage]
    return {f"{stage}_version": version} if version > 1 else {}
