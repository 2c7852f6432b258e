"""JSON files that people have: encodings, and what the parser alone lets through."""

import math
from pathlib import Path

import pytest

from storage.datasets.json_values import count, load_json
from storage.errors import DataError
from tests.fixtures.pipes import pipe_at

WHAT = "a file of COCO instances"


FAULTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "must be JSON, got: Expecting value"),
    "a list": (b"[]", "must hold a mapping, got list"),
    # The second message comes from Python 3.14 on.
    "nested": (b'{"a":' * 100_000, "must be JSON, got: (maximum recursion depth|Stack overflow) "),
    "Latin-1": (
        '{"a":\n"é"}'.encode("latin-1"),
        "must be JSON, got: 'utf-8' codec can't decode byte 0xe9 in position 7: ",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_file_is_named_in_one_line(tmp_path: Path, fault: str) -> None:
    data, message = FAULTS[fault]
    path = tmp_path / "instances.json"
    path.write_bytes(data)

    with pytest.raises(DataError, match=f"^[^ ]*instances.json {message}") as caught:
        load_json(path, WHAT)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 250


def test_a_pipe_is_refused_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "instances.json"
    with pipe_at(path), pytest.raises(DataError, match=f"{WHAT}, got a pipe or a device$"):
        load_json(path, WHAT)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_an_encoding_of_unicode_is_recognised(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "instances.json"
    path.write_bytes('{"file_name": "é.jpg"}'.encode(encoding))

    assert load_json(path, WHAT) == {"file_name": "é.jpg"}


@pytest.mark.parametrize("number", [0, 1.5, math.nan, math.inf])
def test_a_count_is_whole(number: float) -> None:
    with pytest.raises(DataError, match=f"whole number >= 1, got {number}$"):
        count({"length": number}, "length", "video a")


@pytest.mark.parametrize("number", [1.0, 2**31 - 1])
def test_a_count_may_be_written_as_a_float(number: float) -> None:
    assert count({"length": number}, "length", "video a") == number
