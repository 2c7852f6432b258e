"""What README, CONTRIBUTING and docs/ name exists: files, names, settings, commands, headings.

So do commands in messages and docstrings.
"""

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatch
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
import typer.main
import yaml
from dvc.cli import DvcParserError
from dvc.cli.parser import DvcParser, get_main_parser
from typer.core import TyperGroup
from typer.testing import CliRunner

from pipeline.heads.kinds import HEAD_KINDS
from pipeline.heads.predict import n_inputs
from pipeline.sam.families import models_of
from pipeline.vocabulary import N_PROPOSALS, TRAIN_PROMPTS
from stages.cli.app import COMMANDS, app, load_command
from stages.filling.plans import cell_bytes
from stages.settings.blocks import Split
from stages.settings.params import read_params
from stages.settings.parsing import PARAMS_FILE, parse
from stages.settings.signatures import eval_cells
from storage.datasets.readers import DATA_SETS
from tests.benchmarks.test_bench_demo import MAX_MINUTES
from tests.fixtures.dvc_stages import DECLARED, ROOT, STAGES, arguments
from tests.fixtures.dvc_stages import PACKAGES as CODE

PAGES: Final = {
    page.name: page.read_text("utf-8")
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md")))
}

README: Final = PAGES["README.md"]

DATASETS: Final = PAGES["datasets.md"]

RECIPES: Final = "extend.md"
"""Names files that its recipes make, and shows parts of code: a test of its own follows it."""

SETTINGS: Final[dict[str, Any]] = yaml.safe_load((ROOT / PARAMS_FILE).read_text("utf-8"))

ELSEWHERE: Final = ("label_studio_ml", "label_studio_sdk")
"""Packages that examples import beside a server of theirs, and tests do not."""

PACKAGES: Final = r"pipeline|storage|stages|tools|tests"

REPOSITORY_PATH: Final = re.compile(rf"`((?:{PACKAGES}|docs|params)/[\w./-]+)`")
DOTTED: Final = re.compile(rf"`((?:{PACKAGES})(?:\.\w+)+)(?<!\.sh)[`(]")
SETTING: Final = re.compile(rf"`((?:{'|'.join(SETTINGS)})(?:\.[a-z_]+)+)(?<!\.sh)(?<!\.csv)[`:]")
LINK: Final = re.compile(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)")
ANCHOR: Final = re.compile(r"\]\((?!https?:)([^)#]*)#([^)]+)\)")
HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)
WRITTEN: Final = re.compile(r"<!-- ([\w-]+) -->.*?<!-- /\1 -->", re.DOTALL)
FENCED: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
PYTHON: Final = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
YAML: Final = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHELL: Final = re.compile(r"^```(?:bash|sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)

PROGRAMS: Final = ("make", "usam", "dvc", "python")

Command = tuple[str, ...]


def folder_of(page: str) -> Path:
    return ROOT / ("docs" if (ROOT / "docs" / page).exists() else "")


@pytest.mark.parametrize("page", PAGES)
def test_a_command_writes_every_gain_and_loss_of_a_page(page: str) -> None:
    typed = WRITTEN.sub("", FENCED.sub("", PAGES[page]))
    assert re.findall(r"[+−]\d\S*", typed) == []


def test_memory_of_an_object_is_that_of_the_inputs_of_heads() -> None:
    # Networks learn a few coordinates of the image, not its statistics.
    learned = {kind: replace(kind, inputs=kind.inputs[:2]) for kind in HEAD_KINDS}
    bytes_of = {kind.name: 4 * n_inputs(of, 256) for kind, of in learned.items()}
    n_models = len(models_of("sam2.1"))
    in_tune = n_models * bytes_of["paper"]
    in_train = n_models * N_PROPOSALS * len(TRAIN_PROMPTS) * bytes_of["ours"]
    told = f"`tune` takes {in_tune / 1e3:.1f} kB of memory and `train` {in_train / 1e3:.0f} kB"
    assert told in PAGES["scale.md"]


def test_bytes_of_coco_val_are_those_that_usam_plan_prints() -> None:
    params = read_params(ROOT / "params" / "results.yaml")
    views = [params.view(name) for name in params.views]
    cells = eval_cells("coco_val", models_of("sam2.1"), views)
    extract = replace(params.extract, family="sam2.1")
    features, low, high, _ = zip(*(cell_bytes(cell, 0, 1, extract) for cell in cells), strict=True)
    told = f"an object takes {features[-1] / 1e3:.0f} kB of features, uncompressed, and "
    assert f"{told}{low[-1] / 1e3:.0f} to {high[-1] / 1e3:.0f} kB of masks" in PAGES["scale.md"]
    gigabytes = [36_335 * sum(sizes) / 1e9 for sizes in (features, low, high)]
    told = "takes {:.0f} GB of features and {:.0f} to {:.0f} GB of masks".format(*gigabytes)
    assert told in PAGES["scale.md"]


@pytest.mark.parametrize("page", sorted(PAGES.keys() - {RECIPES}))
def test_files_that_a_page_names_are_there(page: str) -> None:
    named = [ROOT / path for path in REPOSITORY_PATH.findall(PAGES[page])]
    linked = [folder_of(page) / path for path in LINK.findall(PAGES[page])]
    assert [str(path) for path in (*named, *linked) if not path.exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_headings_that_a_page_links_to_are_there(page: str) -> None:
    absent = [
        f"{path}#{anchor}"
        for path, anchor in ANCHOR.findall(PAGES[page])
        if anchor not in anchors(PAGES[Path(path).name if path else page])
    ]
    assert absent == []


def anchors(text: str) -> set[str]:
    """Anchors that GitHub makes of a page's headings."""
    headings = HEADING.findall(FENCED.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_modules_and_names_that_a_page_names_are_there(page: str) -> None:
    assert [name for name in DOTTED.findall(PAGES[page]) if not _is_there(name)] == []


def _is_there(dotted: str) -> bool:
    module, _, name = dotted.rpartition(".")
    return not module or (_is_there(module) and _is_in(importlib.import_module(module), name))


def _is_in(module: ModuleType, name: str) -> bool:
    """Whether a module has a name, or is a package with such a module, imported yet or not."""
    if hasattr(module, name):
        return True
    return hasattr(module, "__path__") and find_spec(f"{module.__name__}.{name}") is not None


@pytest.mark.parametrize("page", sorted(PAGES.keys() - {RECIPES}))
def test_what_the_examples_of_a_page_import_is_there(page: str) -> None:
    for block in PYTHON.findall(PAGES[page]):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and not str(node.module).startswith(ELSEWHERE):
                module = importlib.import_module(str(node.module))
                assert [a.name for a in node.names if not _is_in(module, a.name)] == []


@pytest.mark.parametrize("page", PAGES)
def test_settings_that_a_page_names_are_there(page: str) -> None:
    assert [name for name in SETTING.findall(PAGES[page]) if not _is_setting(name)] == []


def _is_setting(dotted: str) -> bool:
    found: Any = SETTINGS
    for key in dotted.split("."):
        if not isinstance(found, dict) or key not in found:
            return False
        found = found[key]
    return True


@pytest.mark.parametrize("block", YAML.findall(README))
def test_settings_of_the_readme_fit_those_of_the_project(block: str, tmp_path: Path) -> None:
    params = dict(SETTINGS)
    for name, given in yaml.safe_load(block).items():
        assert name in params
        if isinstance(given, dict) and name != "splits":
            assert sorted(set(given) - set(params[name])) == []
        else:
            params[name] = given
    path = tmp_path / PARAMS_FILE
    path.write_text(yaml.safe_dump(params), "utf-8")
    read_params(path)


def commands(text: str) -> list[Command]:
    """Calls of ``PROGRAMS`` in blocks of bash and, with arguments, in the running text."""
    blocks = SHELL.findall(text)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    prose = FENCED.sub("", text)
    lines += [span for span in re.findall(r"`([^`\n]+)`", prose) if " " in span]
    return [command for line in lines for command in _split(line)]


def _split(line: str) -> Iterator[Command]:
    # A command in the arguments of another is none that a shell would not run first.
    line = re.sub(r"\$\([^)]*\)", "", line.removeprefix("$ "))
    for part in re.split(r"&&|\|\||[;|]", line):
        words = shlex.split(part, comments=True)
        while words and (words[0] == "exec" or re.fullmatch(r"\w+=.*", words[0])):
            words.pop(0)
        if words and Path(words[0]).name in PROGRAMS:
            yield (Path(words[0]).name, *words[1:])


def fault(command: Command) -> str:
    """What is wrong with a command; empty if nothing is."""
    check = {"make": _make_fault, "usam": _usam_fault, "dvc": _dvc_fault, "python": _python_fault}
    return check[command[0]](list(command[1:]))


def _make_fault(words: list[str]) -> str:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([\w.-]+):(?!=)", makefile, re.MULTILINE))
    wanted = [word for word in words if "=" not in word and not word.startswith("-")]
    return "; ".join(f"no target {word}" for word in wanted if word not in targets)


def _usam_fault(words: list[str]) -> str:
    command = typer.main.get_command(app)
    path: list[str] = []
    while words and isinstance(command, TyperGroup) and not words[0].startswith("-"):
        name = words.pop(0)
        if name not in (command.commands if path else COMMANDS):
            return f"no command {name}"
        found = command.commands[name] if path else load_command(name)
        command = found
        path.append(name)
    if status := _help_status(*path):
        return f"--help ends with {status}"
    known = {"--help", *(name for param in command.params for name in param.opts)}
    options = [word.partition("=")[0] for word in words if word.startswith("-")]
    return "; ".join(f"no option {name}" for name in options if name not in known)


@cache
def _help_status(*command: str) -> int:
    return CliRunner().invoke(app, [*command, "--help"]).exit_code


@cache
def _dvc_parser() -> DvcParser:
    return get_main_parser()


def _dvc_fault(words: list[str]) -> str:
    try:
        parsed = _dvc_parser().parse_args(words)
    except DvcParserError:
        return "dvc does not take this"
    targets = getattr(parsed, "targets", None) or []
    return "; ".join(f"no stage or output {name}" for name in targets if not _is_target(name))


def _is_target(name: str) -> bool:
    """Whether a target may name a stage or an output.

    A folder above outputs is none: ``dvc pull cache/features`` fails.
    """
    if name.startswith("$"):
        return True
    stage, _, cell = name.partition("@")
    if stage in STAGES:
        n_axes = len(DECLARED["stages"][stage].get("matrix", {"key": None}))
        return not cell or cell == "*" or len(cell.split("-")) == n_axes
    outs = [re.sub(r"\$\{[^}]*\}", "*", out) for stage in STAGES.values() for out in stage["outs"]]
    return any(fnmatch(name, out) for out in outs)


def _python_fault(words: list[str]) -> str:
    if words[:1] != ["-m"] or not words[1:]:
        return ""
    package, _, stage = words[1].rpartition(".")
    if package != "stages":
        return "" if find_spec(words[1]) else f"no module {words[1]}"
    if stage not in STAGES:
        return f"no stage {stage}"
    n_wanted, n_given = len(arguments(stage)), len(words) - 2
    return "" if n_given == n_wanted else f"{n_wanted} arguments wanted, {n_given} given"


def commands_of_code() -> Iterator[str]:
    """Commands in strings of the packages, as in messages; each value in an f-string is ``$X``."""
    for path in (path for package in CODE for path in sorted((ROOT / package).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            values = (part.value if isinstance(part, ast.Constant) else "$X" for part in parts)
            # Docstrings have commands in two backticks.
            command = rf"(?<!`)`(?:{'|'.join(PROGRAMS)}) [^`]+`(?!`)"
            yield from re.findall(command, "".join(map(str, values)))


@pytest.mark.parametrize(
    "command",
    dict.fromkeys(c for text in (*PAGES.values(), *commands_of_code()) for c in commands(text)),
    ids=" ".join,
)
def test_a_command_exists(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert fault(command) == ""


def test_the_readme_names_the_time_that_the_demo_is_held_to() -> None:
    assert f"`make bench` fails above {MAX_MINUTES}." in README


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_the_table_of_stages_is_complete() -> None:
    table = PAGES["design.md"].partition("| stage | does |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(STAGES)


BLOCKS: Final[dict[str, Any]] = {
    name: place for block in YAML.findall(DATASETS) for name, place in yaml.safe_load(block).items()
}
"""Splits of ``docs/datasets.md``."""


@pytest.mark.parametrize("name", BLOCKS)
def test_a_split_of_the_docs_is_taken(name: str) -> None:
    assert parse(name, BLOCKS[name], Split).source


def test_every_reader_has_an_example_and_the_keys_that_it_knows() -> None:
    assert {place["reader"] for place in BLOCKS.values()} == set(DATA_SETS)
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.+) \| (.+) \|$", DATASETS, re.MULTILINE)
    found = {name: (names != "-", set(re.findall(r"`(\w+)`", keys))) for name, names, keys in rows}
    assert found == {
        name: ("list" in item.needs, {*item.needs, *item.takes} - {"list"})
        for name, item in DATA_SETS.items()
    }


def test_the_papers_splits_are_where_the_docs_say() -> None:
    splits = yaml.safe_load((ROOT / "params" / "paper.yaml").read_text("utf-8"))["splits"]
    assert set(BLOCKS) - set(splits) == {"bsds_val", "shadows_val"}, "the paper does not have them"
    for name in BLOCKS.keys() & splits.keys():
        for key in ("reader", "images", "annotations", "list"):
            assert splits[name].get(key) == BLOCKS[name].get(key)
