"""From the text of ``params.yaml`` to typed values, and how faults are worded."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, StringMark, YAMLError

from stages.shell.rules import RULE, ParamsError
from storage.errors import shown

T = TypeVar("T")

RULES: Final = {
    "literal_error": "must be {expected}",
    "dataclass_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "mapping_type": "must be a mapping",
    "string_type": "must be text",
    "invalid_key": "must have text as keys",
}
"""Rules of pydantic's own checks, by the type of their errors."""


def read_yaml(path: Path) -> dict[Any, Any]:
    """Parse a file of settings as DVC does: as YAML 1.2, each key once.

    Raises
    ------
    ParamsError
        If it is not a file, not UTF-8, not YAML, or not a mapping.
    """
    if not path.exists():
        raise ParamsError(
            f"{path} must be there, got none: go to the root of a clone of usam-cache"
        )
    if path.is_dir():
        raise ParamsError(f"{path} must be a file, got a folder")
    return parse_yaml(path, path.read_bytes())


def parse_yaml(path: Path, content: bytes) -> dict[Any, Any]:
    """Parse what a file of settings holds, or held.

    Raises
    ------
    ParamsError
        As ``read_yaml``, naming ``path``.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ParamsError(
            f"{path} must be text in UTF-8, got the byte {content[error.start]:#04x} in line {line}"
        ) from error
    try:
        data = YAML(typ="safe", pure=True).load(text)
    except DuplicateKeyError as error:
        raise ParamsError(f"{path} must have each key once, got {_twice(error)}") from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise ParamsError(f"{path} must be YAML, got {_fault(error)}") from error
    if not isinstance(data, dict):
        kind = "nothing" if data is None else shown(data)
        raise ParamsError(f"{path} must be a mapping, got {kind}")
    return data


def parse(where: str, data: Any, block_type: type[T]) -> T:  # noqa: ANN401 - yaml gives anything
    """Turn parsed YAML into ``block_type``, a class made by ``strict``.

    Raises
    ------
    ParamsError
        Naming the first faulty key, its value and, for an unknown key, the keys that are allowed.
    """
    try:
        return TypeAdapter(block_type).validate_python(data)
    except ValidationError as error:
        raise ParamsError(f"{where}: {_message(block_type, error)}") from error


def _twice(error: DuplicateKeyError) -> str:
    key = (error.problem or "").split('"')[1]
    return f"{shown(key)} again in line {_line(error)}"


def _fault(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "brackets nested too deep"
    if not isinstance(error, MarkedYAMLError):
        return str(error).partition("\n")[0]
    hint = "; indent with spaces" if "\\t" in (error.problem or "") else ""
    return f"in line {_line(error)}: {error.problem or error.context}{hint}"


def _line(error: MarkedYAMLError) -> int:
    mark = error.problem_mark or error.context_mark
    assert isinstance(mark, StringMark)  # what was parsed is a string
    return int(mark.line) + 1


def _message(block_type: type, error: ValidationError) -> str:
    faults = error.errors(include_url=False)
    # A mistyped key is also a missing one; the mistyped name says more.
    unknown = [fault for fault in faults if fault["type"] == "unexpected_keyword_argument"]
    first = (unknown or faults)[0]
    loc = [str(part) for part in first["loc"]]
    if unknown:
        allowed = ", ".join(_keys(block_type, loc[:-1]))
        of = f" of {'.'.join(loc[:-1])}" if loc[:-1] else ""
        return f"key{of} must be one of {allowed}, got {shown(loc[-1])}"
    if first["type"] in {"missing", "missing_argument"}:
        return f"{'.'.join(loc)} must be there, got none"
    return _broken_rule(loc, first)


def _broken_rule(loc: Sequence[str], fault: ErrorDetails) -> str:
    context = fault.get("ctx", {})
    got = context.get("got", fault["input"])
    rule = fault["msg"] if fault["type"] == RULE else RULES[fault["type"]].format(**context)
    if loc[-1] == "[key]":
        loc = loc[:-2]
    if fault["type"] == "invalid_key":
        loc = loc[:-1]
    return f"{'.'.join(loc) or 'settings'} {rule}, got {shown(got)}"


def _keys(block_type: Any, loc: Sequence[str]) -> tuple[str, ...]:  # noqa: ANN401 - any annotation
    """Field names of the block at ``loc`` below ``block_type``, through mappings of blocks."""
    for part in loc:
        if is_dataclass(block_type):
            block_type = next(f.type for f in fields(block_type) if f.name == part)
        else:
            block_type = get_args(block_type)[-1]
        if type(None) in get_args(block_type):
            block_type = get_args(block_type)[0]
    return tuple(field.name for field in fields(block_type))
