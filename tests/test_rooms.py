"""The house: rooms of a bearable size, and no circle of imports among them."""

from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

from tests.fixtures.dvc_stages import PACKAGES, ROOT

N_FILES = 18
"""Python files that a folder has at most."""

FACES = {"storage"}
"""Packages whose own file does nothing but hand on names of their rooms."""


def room(module: str) -> str:
    """The sub-package in which a module lies; of the files beside them, the package itself."""
    return module if (ROOT / Path(*module.split("."))).is_dir() else module.rpartition(".")[0]


def imports_of_rooms() -> dict[str, set[str]]:
    graph = grimp.build_graph(*PACKAGES, cache_dir=None, exclude_type_checking_imports=True)
    found: dict[str, set[str]] = {}
    for module in graph.modules - FACES:
        imported = {room(other) for other in graph.find_modules_directly_imported_by(module)}
        found.setdefault(room(module), set()).update(imported - {room(module)})
    return found


def test_no_rooms_import_each_other_in_a_circle() -> None:
    rooms = imports_of_rooms()
    assert {"pipeline", "pipeline.heads", "storage.split", "stages"} <= set(rooms)
    # Raises where there is a circle; the direction between the packages is import-linter's.
    assert set(TopologicalSorter(rooms).static_order()) == set(rooms)


def test_a_circle_would_be_seen() -> None:
    with pytest.raises(CycleError):
        list(TopologicalSorter(imports_of_rooms() | {"pipeline": {"stages"}}).static_order())


@pytest.mark.parametrize("package", PACKAGES)
def test_no_folder_has_more_files_than_a_reader_can_hold(package: str) -> None:
    folders = [ROOT / package, *(path.parent for path in (ROOT / package).rglob("__init__.py"))]
    sizes = {
        folder.relative_to(ROOT).as_posix(): len(list(folder.glob("*.py"))) for folder in folders
    }
    assert {name: size for name, size in sizes.items() if size > N_FILES} == {}
