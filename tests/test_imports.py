"""No circle of imports among sub-packages."""

from graphlib import TopologicalSorter
from pathlib import Path

import grimp

from tests.fixtures.dvc_stages import PACKAGES, ROOT

FACES = {"storage"}
"""Packages whose own file does nothing but hand on names of their sub-packages."""


def sub_package(module: str) -> str:
    """The sub-package in which a module lies; a file beside them stands for itself."""
    parts = module.split(".")
    is_beside = len(parts) == 2 and not (ROOT / Path(*parts) / "__init__.py").is_file()
    return (
        module
        if is_beside or (ROOT / Path(*parts) / "__init__.py").is_file()
        else module.rpartition(".")[0]
    )


def imports_of_sub_packages() -> dict[str, set[str]]:
    graph = grimp.build_graph(*PACKAGES, cache_dir=None, exclude_type_checking_imports=True)
    found: dict[str, set[str]] = {}
    for module in graph.modules - FACES:
        imported = {sub_package(other) for other in graph.find_modules_directly_imported_by(module)}
        found.setdefault(sub_package(module), set()).update(imported - {sub_package(module)})
    return found


def test_no_sub_packages_import_each_other_in_a_circle() -> None:
    imports = imports_of_sub_packages()
    assert {"pipeline.decisions", "pipeline.heads", "storage.split", "stages.train"} <= set(imports)
    # Raises where there is a circle; the direction between the packages is import-linter's.
    assert set(TopologicalSorter(imports).static_order()) == set(imports)
