"""What benchmarks note of their bars becomes the tables of docs/speed.md."""

import ast
import json
from pathlib import Path

import pytest

from tools import bars
from tools.bars import Bar
from tools.blocks import read_block

BENCHMARKS = sorted((Path(__file__).parent / "benchmarks").glob("test_*.py"))


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "speed.md"
    page.write_bytes(bars.PAGE.read_bytes())
    monkeypatch.setattr(bars, "PAGE", page)
    return page


@pytest.mark.parametrize(
    ("bar", "row"),
    [
        (Bar("ratio", 0.5312, at_most=0.8), "| ratio | 0.531 | at most 0.8 | yes |"),
        (Bar("files", 1200, at_most=1000), "| files | 1,200 | at most 1,000 | **no** |"),
        (Bar("speed", 1.95, at_least=2), "| speed | 1.95 | at least 2 | **no** |"),
        (Bar("noted", 1.4912), "| noted | 1.49 | none | |"),
        (Bar("demo", 3.5, at_most=3.5, unit="min"), "| demo | 3.5 min | at most 3.5 min | yes |"),
    ],
)
def test_a_line_says_whether_the_bar_is_met(bar: Bar, row: str) -> None:
    assert bar.row() == row


def test_a_record_becomes_the_table_of_its_name_and_leaves_the_other(page: Path) -> None:
    before = read_block(page, "bench")
    some = [Bar("one", 1, at_most=2), Bar("two", 1, at_least=2)]
    bars.write_record(Path("build", "bench-full.json"), some)
    bars.main()
    written = read_block(page, "bench-full").strip().splitlines()
    assert written[-2:] == [bar.row() for bar in some]
    assert written[0].startswith("Measured on ")
    assert read_block(page, "bench") == before


def test_a_benchmark_without_bars_has_no_line(page: Path) -> None:
    path = Path("build", "bench.json")
    bars.write_record(path, [Bar("one", 1, at_most=2)])
    record = json.loads(path.read_text("utf-8"))
    record["benchmarks"].append({"extra_info": {}})
    path.write_text(json.dumps(record), "utf-8")
    bars.main()
    assert read_block(page, "bench").count("| yes |") == 1


def test_without_a_record_nothing_is_written(page: Path) -> None:
    before = page.read_bytes()
    with pytest.raises(SystemExit, match="must hold a record of `make bench`"):
        bars.main()
    assert page.read_bytes() == before


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_every_benchmark_notes_its_bar(path: Path) -> None:
    calls = [node.func for node in ast.walk(ast.parse(path.read_text("utf-8")))
             if isinstance(node, ast.Call)]  # fmt: skip
    assert any(isinstance(call, ast.Name) and call.id == "note_bar" for call in calls)
