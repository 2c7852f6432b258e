"""What benchmarks found beside their bars, and tables of it: ``python -m tools.bars``.

Reads   ``build/bench.json`` of ``make bench`` and ``build/bench-full.json`` of ``make bench-full``,
        whichever there is.
Writes  the parts of ``docs/speed.md`` between ``<!-- bench -->`` and ``<!-- /bench -->``, and
        likewise ``bench-full``.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from pytest_benchmark.fixture import BenchmarkFixture
from pytest_benchmark.plugin import pytest_benchmark_generate_machine_info

from tools.blocks import replace_block, table

PAGE: Final = Path("docs", "speed.md")

RECORDS: Final = Path("build")

BLOCKS: Final = ("bench", "bench-full")
"""Of the page, each made of the record of its name."""


@dataclass(frozen=True)
class Bar:
    """What was found, and the bar that it should meet, if there is one."""

    what: str
    figure: float
    at_most: float | None = None
    at_least: float | None = None
    unit: str = ""
    case: str = ""
    """Which of several of one name; those under one bar share a line."""

    @property
    def is_met(self) -> bool:
        """Whether the figure is on the right side of the bar, or of none."""
        if self.at_most is not None:
            return self.figure <= self.at_most
        return self.at_least is None or self.figure >= self.at_least

    @property
    def limit(self) -> str:
        """The bar in words."""
        if self.at_most is not None:
            return f"at most {_number(self.at_most, self.unit)}"
        if self.at_least is not None:
            return f"at least {_number(self.at_least, self.unit)}"
        return "none"


def missed_bars(benchmark: BenchmarkFixture, *bars: Bar) -> list[Bar]:
    """Put what a benchmark found into the record of `make bench`, met or not; those not met."""
    for bar in bars:
        print(f"\n{bar.what} {bar.case}: {_number(bar.figure, bar.unit)}, {bar.limit}")
    benchmark.extra_info["bars"] = [asdict(bar) for bar in bars]
    return [bar for bar in bars if not bar.is_met]


def main() -> None:
    """Write a table for each record."""
    records = {name: RECORDS / f"{name}.json" for name in BLOCKS}
    found = {name: path for name, path in records.items() if path.exists()}
    if not found:
        raise SystemExit(f"{RECORDS} must hold a record of `make bench`, got none")
    for name, path in found.items():
        record = json.loads(path.read_text(encoding="utf-8"))
        noted = [benchmark["extra_info"].get("bars", []) for benchmark in record["benchmarks"]]
        bars = [Bar(**bar) for some in noted for bar in some]
        replace_block(PAGE, name, f"\n{bar_table(bars, record['machine_info'])}\n")


def write_record(path: Path, bars: Iterable[Bar]) -> None:
    """Write a record as pytest-benchmark does, of what is no test."""
    record = {
        "machine_info": pytest_benchmark_generate_machine_info(),  # type: ignore[no-untyped-call]
        "benchmarks": [{"extra_info": {"bars": [asdict(bar) for bar in bars]}}],
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record), encoding="utf-8")


def bar_table(bars: Iterable[Bar], machine_info: Mapping[str, Any]) -> str:
    """A line for all cases under one bar, below the name of the machine."""
    cpu = machine_info["cpu"]
    said = (
        f"Measured on {cpu.get('brand_raw', machine_info['machine'])}, {cpu['count']} processors, "
        f"{machine_info['system']}, Python {machine_info['python_version']}."
    )
    alike: dict[tuple[str, str], list[Bar]] = {}
    for bar in bars:
        alike.setdefault((bar.what, bar.limit), []).append(bar)
    rows = [_row(own) for own in alike.values()]
    return f"{said}\n\n{table(('what', 'figure', 'bar', 'met'), rows, left=(0, 3))}"


def _row(alike: Sequence[Bar]) -> tuple[str, str, str, str]:
    """From the least figure to the most, and which cases miss their bar."""
    first, *_ = alike
    figures = [bar.figure for bar in alike]
    ends = dict.fromkeys(_number(end, "") for end in (min(figures), max(figures)))
    missed = [bar.case for bar in alike if not bar.is_met]
    cases = ", ".join(filter(None, missed))
    met = "" if first.limit == "none" else "**no**" if missed else "yes"
    return (
        first.what,
        f"{' to '.join(ends)} {first.unit}".rstrip(),
        first.limit,
        f"{met}: {cases}" if cases else met,
    )


def _number(value: float, unit: str) -> str:
    """Three digits, or all of a whole number."""
    text = f"{value:,.0f}" if value == round(value) else f"{value:.3g}"
    return f"{text} {unit}".rstrip()


if __name__ == "__main__":
    main()
