"""What README.md, CONTRIBUTING.md and docs/share.md tell people to type exists."""

import re
import shlex
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

import pytest
import typer.main
import yaml
from dvc.cli import DvcParserError
from dvc.cli.parser import get_main_parser
from typer.core import TyperGroup
from typer.testing import CliRunner

from stages.cli.app import COMMANDS, app, load_command
from stages.settings.params import PARAMS_FILE, read_params
from tests.benchmarks.test_bench_demo import MAX_MINUTES
from tests.fixtures.dvc_stages import DECLARED, ROOT, STAGES, arguments

README: Final = (ROOT / "README.md").read_text("utf-8")
CONTRIBUTING: Final = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
SHARE: Final = (ROOT / "docs" / "share.md").read_text("utf-8")

PROGRAMS: Final = ("make", "usam", "dvc", "python")

Command = tuple[str, ...]


def commands(text: str) -> list[Command]:
    """Calls of ``PROGRAMS`` in blocks of bash and, with arguments, in the running text."""
    blocks = re.findall(r"^```(?:bash|sh|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    lines += [span for span in re.findall(r"`([^`\n]+)`", prose) if " " in span]
    return [command for line in lines for command in _split(line)]


def fault(command: Command) -> str:
    """What is wrong with a command; empty if nothing is."""
    check = {"make": _make_fault, "usam": _usam_fault, "dvc": _dvc_fault, "python": _python_fault}
    return check[command[0]](list(command[1:]))


def _split(line: str) -> Iterator[Command]:
    # A command in the arguments of another is none that a shell would not run first.
    line = re.sub(r"\$\([^)]*\)", "", line.removeprefix("$ "))
    for part in re.split(r"&&|\|\||[;|]", line):
        words = shlex.split(part, comments=True)
        while words and re.fullmatch(r"\w+=.*", words[0]):
            words.pop(0)
        if words and Path(words[0]).name in PROGRAMS:
            yield (Path(words[0]).name, *words[1:])


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
    helped = CliRunner().invoke(app, [*path, "--help"])
    if helped.exit_code:
        return f"--help ends with {helped.exit_code}"
    known = {"--help", *(name for param in command.params for name in param.opts)}
    options = [word.partition("=")[0] for word in words if word.startswith("-")]
    return "; ".join(f"no option {name}" for name in options if name not in known)


def _dvc_fault(words: list[str]) -> str:
    try:
        parsed = get_main_parser().parse_args(words)
    except DvcParserError:
        return "dvc does not take this"
    targets = getattr(parsed, "targets", None) or []
    return "; ".join(f"no stage or output {name}" for name in targets if not _is_target(name))


def _is_target(name: str) -> bool:
    """Whether a target may name a stage or an output.

    A folder above outputs is none: ``dvc pull cache/features`` fails.
    """
    stage, _, cell = name.partition("@")
    if stage in STAGES:
        n_axes = len(DECLARED["stages"][stage].get("matrix", {"key": None}))
        return not cell or cell == "*" or len(cell.split("-")) == n_axes
    outs = [re.sub(r"\$\{[^}]*\}", "*", out) for stage in STAGES.values() for out in stage["outs"]]
    return any(fnmatch(name, out) for out in outs)


def _python_fault(words: list[str]) -> str:
    if words[:1] != ["-m"] or not words[1:] or not words[1].startswith("stages."):
        return ""
    stage = words[1].removeprefix("stages.")
    if stage not in STAGES:
        return f"no stage {stage}"
    n_wanted, n_given = len(arguments(stage)), len(words) - 2
    return "" if n_given == n_wanted else f"{n_wanted} arguments wanted, {n_given} given"


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project as working folder."""
    monkeypatch.chdir(ROOT)
    return ROOT


@pytest.mark.parametrize(
    "command", [c for text in (README, CONTRIBUTING, SHARE) for c in commands(text)], ids=" ".join
)
def test_a_command_exists(command: Command) -> None:
    assert fault(command) == ""


def test_the_readme_names_the_time_that_the_demo_is_held_to() -> None:
    assert f"`make bench` times it and fails above {MAX_MINUTES}." in README


def test_the_readme_says_how_to_start_and_how_to_test() -> None:
    told = commands(README)
    assert ("make", "demo") in told
    assert ("make", "test") in told


@pytest.mark.parametrize("path", re.findall(r"\]\((?!\w+:)([^)#]+)", README + CONTRIBUTING))
def test_a_linked_file_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_table_of_stages_is_complete() -> None:
    table = README.partition("| stage | does |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(STAGES)


@pytest.mark.parametrize(
    "block", re.findall(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
)
def test_settings_fit_those_of_the_project(block: str, tmp_path: Path) -> None:
    params: dict[str, Any] = yaml.safe_load((ROOT / PARAMS_FILE).read_text("utf-8"))
    for name, told in yaml.safe_load(block).items():
        assert name in params
        if isinstance(told, dict) and name != "splits":
            assert sorted(set(told) - set(params[name])) == []
        else:
            params[name] = told
    path = tmp_path / PARAMS_FILE
    path.write_text(yaml.safe_dump(params), "utf-8")
    read_params(path)


TOLD = """
Run `make demo`, or `make`; `dvc pull cache/features`.

```bash
$ make tset PYTHON=python3.12  # a comment
.venv/bin/usam cache look PATH && usam cache ls PATH --all
FOO=1 dvc repro --nope | tee log; dvc repro extract@a-b && dvc repro 'extract@a-b-*'
python -m stages.entropi a
python -m stages.entropy
pip install dvc
```

```python
make nothing
```
"""


def test_faults_are_found() -> None:
    told = [" ".join(command) for command in commands(TOLD)]
    found = dict(zip(told, map(fault, commands(TOLD)), strict=True))
    assert found == {
        "make demo": "",
        "dvc pull cache/features": "no stage or output cache/features",
        "make tset PYTHON=python3.12": "no target tset",
        "usam cache look PATH": "no command look",
        "usam cache ls PATH --all": "no option --all",
        "dvc repro --nope": "dvc does not take this",
        "dvc repro extract@a-b": "no stage or output extract@a-b",
        "dvc repro extract@a-b-*": "",
        "python -m stages.entropi a": "no stage entropi",
        "python -m stages.entropy": "1 arguments wanted, 0 given",
    }
