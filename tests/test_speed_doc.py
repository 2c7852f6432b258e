"""The tables of docs/speed.md are those of its command."""

import time

from docs import compiled, speed
from tools.blocks import marks, read_block


def test_the_least_time_of_each_run_is_taken_and_the_runs_take_turns() -> None:
    calls: list[str] = []

    def work(name: str, n: int) -> None:
        calls.append(name)
        started = time.process_time()
        while time.process_time() - started < n / 1000:
            pass

    found = speed.least_seconds(
        {"short": lambda: work("short", 1), "long": lambda: work("long", 9)}
    )
    assert calls == ["short", "long"] * speed.N_ROUNDS
    assert 0.001 <= found["short"] < found["long"]


def test_a_table_has_its_numbers_to_the_right() -> None:
    assert speed.table(["part", "s"], [["decoder", "1.5"]]).splitlines() == [
        "| part | s |",
        "| --- | ---: |",
        "| decoder | 1.5 |",
    ]


def test_the_page_shows_a_block_that_the_command_wrote() -> None:
    begin, end = marks("speed")
    written = speed.PAGE.read_text("utf-8").partition(begin)[2].partition(end)[0]
    for heading in ("One image", "Objects in the image", "Decoder alone", "By part"):
        assert f"### {heading}" in written


def test_the_page_says_what_compiling_takes_and_gives_for_each_model() -> None:
    lines = read_block(speed.PAGE, "compiled").strip().splitlines()[2:]
    names = [
        f"| {model} of {family}, {precision} |" for family, model, precision in compiled.MODELS
    ]
    assert [line.startswith(name) for line, name in zip(lines, names, strict=True)] == [True] * 2
