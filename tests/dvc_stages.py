"""The pipeline as dvc.yaml declares it, and what the sources of a stage say about it."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import grimp
import yaml

ROOT: Final = Path(__file__).parents[1]

PACKAGES: Final = ("pipeline", "stages", "storage")

DECLARED: Final[dict[str, Any]] = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))

STAGES: Final[dict[str, dict[str, Any]]] = {
    name: stage.get("do", stage) for name, stage in DECLARED["stages"].items()
}
"""A stage's declaration, or that of all of its matrix."""

EXTRACT_STAGES: Final = ("extract", "extract_train")
"""Those that may cost a GPU hour."""

CPU_STAGES: Final = tuple(name for name in STAGES if name not in EXTRACT_STAGES)


def sources(stage: str) -> list[str]:
    """Files whose code a stage may run: its script, first, and all that this imports in turn."""
    script = _file(f"stages.{stage}")
    return [script, *sorted({_file(name) for name in _modules(stage)} - {script})]


def blocks_read(stage: str) -> set[str]:
    """Blocks of params.yaml that a stage reads."""
    return {ast.literal_eval(call.args[0]) for call in _calls(stage, "read_block")}


def lists_read(stage: str) -> set[str]:
    """Lists of params.yaml that a stage reads for more than to check its own arguments."""
    checks = {id(part) for call in _calls(stage, "check_known") for part in ast.walk(call)}
    return {
        "splits" if node.attr == "split" else node.attr
        for tree in _stage_trees(stage)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and id(node) not in checks and _is_lists(node.value)
    }


def arguments(stage: str) -> list[str]:
    """Names of the arguments that a stage's ``main`` takes."""
    (main,) = (
        node
        for node in _tree(f"stages.{stage}").body
        if isinstance(node, ast.FunctionDef) and node.name == "main"
    )
    return [argument.arg for argument in main.args.args]


def _calls(stage: str, function: str) -> Iterator[ast.Call]:
    """Calls of a function in a stage's script and in what this imports of ``stages``."""
    for tree in _stage_trees(stage):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _name(node.func) == function:
                yield node


def _is_lists(node: ast.expr) -> bool:
    called = _name(node.func) if isinstance(node, ast.Call) else ""
    return called == "read_lists" or _name(node) == "lists"


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _stage_trees(stage: str) -> list[ast.Module]:
    names = [name for name in _modules(stage) if name.startswith("stages.")]
    return [_tree(name) for name in names if name != "stages.params"]


@cache
def _modules(stage: str) -> frozenset[str]:
    """Modules that come with a stage's script; importing one imports its parent packages, too."""
    graph, todo, found = _imports(), [f"stages.{stage}"], set[str]()
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo.extend(graph.find_modules_directly_imported_by(name))
            todo.extend([name.rpartition(".")[0]] if "." in name else [])
    return frozenset(found)


@cache
def _imports() -> grimp.ImportGraph:
    # Without a cache, which grimp would leave in the working folder. What only a type checker
    # imports changes no result.
    return grimp.build_graph(*PACKAGES, cache_dir=None, exclude_type_checking_imports=True)


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse((ROOT / _file(module)).read_text("utf-8"))


def _file(module: str) -> str:
    path = Path(*module.split("."))
    is_package = (ROOT / path).is_dir()
    return (path / "__init__.py" if is_package else path.with_suffix(".py")).as_posix()
