"""Parses ``params.yaml`` into typed values, and words the messages about faulty settings."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast, dataclass_transform

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, StringMark, YAMLError

from storage.errors import shown

T = TypeVar("T")

Schema = Mapping[str, Any]


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
        value and, for an unknown key, the allowed keys.
    """
    settings = TypeAdapter(block_type)
    try:
        return settings.validate_python(data)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        # A mistyped key gives two faults, an unknown and a missing key; the unknown key says more.
        unknown = [fault for fault in faults if fault["type"] == "unexpected_keyword_argument"]
        message = _message((unknown or faults)[0], settings.json_schema())
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


def _message(fault: ErrorDetails, schema: Schema) -> str:
    loc, value = [str(key) for key in fault["loc"]], shown(fault["input"])
    match fault["type"]:
        case "missing":
            return f"{'.'.join(loc)} must be there, got none"
        case "unexpected_keyword_argument":
            of = f" of {'.'.join(loc[:-1])}" if loc[:-1] else ""
            allowed = ", ".join(_schema_at(loc[:-1], schema)[1]["properties"])
            return f"key{of} must be one of {allowed}, got {shown(loc[-1])}"
        case "invalid_key":
            return f"{_key(loc[:-1])} must have text as keys, got {value}"
        case "value_error":  # settings that are valid alone, but not together
            text = str(fault["ctx"]["error"])
            between = " " if text.startswith("must") else "."
            return f"{'.'.join(loc)}{between}{text}" if loc else text
    if loc[-1:] == ["[key]"]:
        keys = _schema_at(loc[:-2], schema)[1].get("propertyNames", {})
        rule = f"be {_rule(keys)}" if keys else "have text as keys"
        return f"{_key(loc[:-2])} must {rule}, got {value}"
    setting, rules = _schema_at(loc, schema)
    return f"{_key(setting)} must be {_rule(rules)}, got {value}"


def _key(loc: Sequence[str]) -> str:
    return ".".join(loc) or "settings"


def _rule(schema: Schema) -> str:
    match schema:
        case {"type": "object"}:  # its description is the docstring of a class
            rule = "a mapping"
        case {"description": words}:
            rule = words
        case {"anyOf": alternatives}:
            rule = " or ".join(map(_rule, alternatives))
        case {"const": word}:
            rule = word
        case {"enum": words}:
            rule = f"one of {', '.join(words)}"
        case {"type": "array", "items": items}:
            least = "at least one of " if "minItems" in schema else ""
            rule = f"a list of {least}{', '.join(items.get('enum') or [items['const']])}, each once"
        case {"type": "integer", "minimum": low, "maximum": high}:
            rule = f"a whole number from {low} to {high}"
        case {"type": "number", "minimum": low, "maximum": high}:
            rule = f"a number from {low:g} to {high:g}"
        case _:
            rule = {"boolean": "true or false", "null": "null"}[schema["type"]]
    return str(rule)


def _schema_at(loc: Sequence[str], schema: Schema) -> tuple[Sequence[str], Schema]:
    """Keys that lead to a setting, and its schema.

    ``loc`` is pydantic's place of a fault; its parts below the setting, as for items of lists, are
    left out of the keys.
    """
    block = schema
    for i, key in enumerate(loc):
        values = (block.get("additionalProperties"), *block.get("patternProperties", {}).values())
        any_key = next((value for value in values if isinstance(value, dict)), None)
        below = block.get("properties", {}).get(key, any_key)
        if below is None:
            return loc[:i], block
        references = [rule["$ref"] for rule in (below, *below.get("anyOf", ())) if "$ref" in rule]
        block = schema["$defs"][references[0].rpartition("/")[2]] if references else below
    return loc, block
