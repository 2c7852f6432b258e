"""Figures of benchmarks beside their bars, as tables: ``python -m tools.bars``.

Reads   ``build/bench.json`` of ``make bench`` and ``build/bench-full.json`` of ``make bench-full``,
        if they exist.
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
"""Blocks of the page, each made from the record of the same name."""


@dataclass(frozen=True)
class Bar:
    """A measured figure, and the bar that it should meet, if any."""

    what: str
    figure: float
    at_most: float | None = None
    at_least: float | None = None
    unit: str = ""
    case: str = ""
    """Distinguishes figures of one name; figures under the same bar share a line."""

    @property
    def is_met(self) -> bool:
        """Whether the figure meets its bar; True without a bar."""
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
    """Put all bars of a benchmark into the record of `make bench`, and return those not met."""
    for bar in bars:
        print(f"\n{bar.what} {bar.case}: {_number(bar.figure, bar.unit)}, {bar.limit}")
    benchmark.extra_info["bars"] = [asdict(bar) for bar in bars]
    return [bar for bar in bars if not bar.is_met]


def main() -> None:
    """Write a table for each record."""
    records = {name: RECORDS / f"{name}.json" for name in BLOCKS}
    existing = {name: path for name, path in records.items() if path.exists()}
    if not existing:
        raise SystemExit(f"{RECORDS} must hold a record of `make bench`, got none")
    for name, path in existing.items():
        record = json.loads(path.read_text(encoding="utf-8"))
        noted = [benchmark["extra_info"].get("bars", []) for benchmark in record["benchmarks"]]
        bars = [Bar(**bar) for of_benchmark in noted for bar in of_benchmark]
        replace_block(PAGE, name, f"\n{bar_table(bars, record['machine_info'])}\n")


def write_record(path: Path, bars: Iterable[Bar]) -> None:
    """Write a record in the form of pytest-benchmark for figures that no test measured."""
    record = {
        "machine_info": pytest_benchmark_generate_machine_info(),  # type: ignore[no-untyped-call]
        "benchmarks": [{"extra_info": {"bars": [asdict(bar) for bar in bars]}}],
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record), encoding="utf-8")


def bar_table(bars: Iterable[Bar], machine_info: Mapping[str, Any]) -> str:
    """The name of the machine, then a table with a line for all cases under one bar."""
    cpu = machine_info["cpu"]
    measured_on = (
        f"Measured on {cpu.get('brand_raw', machine_info['machine'])}, {cpu['count']} processors, "
        f"{machine_info['system']}, Python {machine_info['python_version']}."
    )
    by_bar: dict[tuple[str, str], list[Bar]] = {}
    for bar in bars:
        by_bar.setdefault((bar.what, bar.limit), []).append(bar)
    rows = [_row(group) for group in by_bar.values()]
    return f"{measured_on}\n\n{table(('what', 'figure', 'bar', 'met'), rows, left=(0, 3))}"


def _row(alike: Sequence[Bar]) -> tuple[str, str, str, str]:
    """The range of the figures, and the cases that miss their bar."""
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
    """A number in three digits; a whole number in all of its digits."""
    text = f"{value:,.0f}" if value == round(value) else f"{value:.3g}"
    return f"{text} {unit}".rstrip()


if __name__ == "__main__":
    main()
