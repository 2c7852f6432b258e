"""Parses ``params.yaml`` into typed values, and words the messages about faulty settings."""

from collections.abc import Collection, Sequence
from inspect import get_annotations
from pathlib import Path
from typing import Any, Final, TypeVar, cast, dataclass_transform

from pydantic import TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, StringMark, YAMLError

from storage.errors import shown

T = TypeVar("T")

PARAMS_FILE: Final = Path("params.yaml")


class ParamsError(ValueError):
    """Raised for a setting or an option that is missing, unknown or out of range."""


def check_known(kind: str, name: str, vocabulary: Collection[str]) -> None:
    """Refuse a name that is not in ``vocabulary``; ``kind`` is the noun for it in the message.

    Raises
    ------
    ParamsError
        If the name is unknown; the message lists the vocabulary.
    """
    if name not in vocabulary:
        raise ParamsError(f"{kind} must be one of {', '.join(vocabulary)}, got {shown(name)}")


@dataclass_transform(frozen_default=True)
def strict(block_type: type[T]) -> type[T]:
    """Class decorator for a block of settings: a frozen dataclass that refuses unknown keys."""
    known = list(get_annotations(block_type))

    def check_keys(_cls: type[T], data: object) -> object:
        for key in data if isinstance(data, dict) else ():
            if key not in known:
                raise ValueError(f"must have no key but {', '.join(known)}, got {shown(key)}")
        return data

    # Before pydantic: a mistyped key is also a missing one, but the unknown key says more.
    checked: Any = classmethod(check_keys)
    block_type.check_keys = model_validator(mode="before")(checked)  # type: ignore[attr-defined]
    return cast("type[T]", dataclass(frozen=True, config={"extra": "forbid"})(block_type))


def read_yaml(path: Path) -> dict[Any, Any]:
    """Read a YAML file of settings as DVC does: YAML 1.2, and no key twice.

    Raises
    ------
    ParamsError
        If the file is missing, or its content is faulty, see ``parse_yaml``.
    """
    if not path.exists():
        raise ParamsError(
            f"{path} must be there, got none: go to the root of a clone of usam-cache"
        )
    return parse_yaml(path, path.read_bytes())


def parse_yaml(path: Path, content: bytes) -> dict[Any, Any]:
    """Parse the content of a YAML file of settings; messages name ``path``, which is not read.

    Raises
    ------
    ParamsError
        If the content is not UTF-8, not YAML or not a mapping, or has a key twice.
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
    except RecursionError as error:
        raise ParamsError(f"{path} must have a few levels of settings, got hundreds") from error
    except (YAMLError, ValueError) as error:
        raise ParamsError(f"{path} must be YAML, got {_fault(error)}") from error
    if not isinstance(data, dict):
        kind = "nothing" if data is None else shown(data)
        raise ParamsError(f"{path} must be a mapping, got {kind}")
    return data


def parse(where: str, data: Any, block_type: type[T]) -> T:  # noqa: ANN401 - yaml gives anything
    """Convert ``data``, parsed YAML, to an instance of ``block_type``, a class made by ``strict``.

    Raises
    ------
    ParamsError
        If a setting is faulty. The message begins with ``where``, and has the first faulty key, its
        rule and its value; for an unknown key, the allowed keys.
    """
    try:
        return TypeAdapter(block_type).validate_python(data)
    except ValidationError as error:
        message = _message(error.errors(include_url=False), data)
        raise ParamsError(f"{where}: {message}") from error


def _twice(error: DuplicateKeyError) -> str:
    key = (error.problem or "").split('"')[1]
    return f"{shown(key)} again in line {_line(error)}"


def _fault(error: Exception) -> str:
    if not isinstance(error, MarkedYAMLError):
        return str(error).partition("\n")[0]
    hint = "; indent with spaces" if "\\t" in (error.problem or "") else ""
    return f"in line {_line(error)}: {error.problem or error.context}{hint}"


def _line(error: MarkedYAMLError) -> int:
    mark = error.problem_mark or error.context_mark
    assert isinstance(mark, StringMark)  # what was parsed is a string
    return int(mark.line) + 1


def _message(faults: Sequence[ErrorDetails], data: object) -> str:
    """Message about the setting of the first fault: its keys, its rules in pydantic's words."""
    first, keys = faults[0], _keys(faults[0], data)
    setting = ".".join(keys) or "settings"
    match first["type"]:
        case "missing":
            return f"{setting} must be there, got none"
        case "value_error":  # of a block, whose text names the setting and what it got
            text = str(first["ctx"]["error"])
            return f"{setting} {text}" if text.startswith("must") else ".".join([*keys, text])
    # Alternatives have a fault each.
    rules = [
        fault["msg"].partition(" should ")[2] for fault in faults if _keys(fault, data) == keys
    ]
    return f"{setting} must {' or '.join(dict.fromkeys(rules))}, got {shown(first['input'])}"


def _keys(fault: ErrorDetails, data: object) -> list[str]:
    """Keys that lead to a setting: pydantic's place of a fault, but for what lies below mappings.

    Items of lists and alternatives of types lie there.
    """
    keys, loc = [], fault["loc"]
    for key in loc[:-2] if loc[-1:] == ("[key]",) else loc:
        if not isinstance(data, dict):
            break
        keys.append(str(key))
        data = data.get(key)
    return keys
