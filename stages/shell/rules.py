"""Rules for settings: each says in words what a value must be."""

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

from storage.errors import shown

SEED_MAX: Final = 2**32 - 1
"""Largest seed that numpy, PyTorch and SMAC3 all take."""

TEXT_MAX: Final = 1000
"""Most characters of a path or a title."""

NAME: Final = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}"
"""Names of splits become folders, stages of DVC and arguments of a shell."""

RULE: Final = "rule"
"""Type of the errors raised here: their message says what a value must be."""


class ParamsError(ValueError):
    """A setting is missing, unknown or out of range."""


def check_known(thing: str, name: str, known: Collection[str]) -> None:
    """Refuse a name outside a vocabulary."""
    if name not in known:
        raise ParamsError(f"{thing} must be one of {', '.join(known)}, got {shown(name)}")


def whole(low: int, high: int, *besides: str | None) -> PlainValidator:
    """A whole number within bounds, both allowed, or one of the values in ``besides``."""
    others = "".join(f" or {'null' if value is None else value}" for value in besides)

    def is_kept(value: object) -> bool:
        # In Python, True equals 1.
        if isinstance(value, int) and not isinstance(value, bool):
            return low <= value <= high
        return value in besides

    return _single(f"a whole number from {low} to {high}{others}", is_kept)


def number(low: float, high: float) -> PlainValidator:
    """A number within bounds, both allowed."""

    def is_kept(value: object) -> bool:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return low <= value <= high
        return False

    return _single(f"a number from {low:g} to {high:g}", is_kept)


def flag() -> PlainValidator:
    """Yes or no; a number is neither."""
    return _single("true or false", lambda value: isinstance(value, bool))


def text() -> PlainValidator:
    """Text of one line."""
    return _single(f"text of one line of at most {TEXT_MAX} characters", _is_text)


def texts(*, may_be_empty: bool = False) -> PlainValidator:
    """A list of texts, each once."""
    least = "texts" if may_be_empty else "at least one text"
    return _each_once(f"a list of {least}, each once", _is_text, may_be_empty=may_be_empty)


def one_of(known: Collection[str]) -> PlainValidator:
    """One of some words."""
    return _single(
        f"one of {', '.join(known)}", lambda value: isinstance(value, str) and value in known
    )


def matching(pattern: str, rule: str) -> PlainValidator:
    """Text that fully matches a regular expression, which ``rule`` puts in words."""
    return _single(rule, lambda value: _matches(pattern, value))


def split_name() -> PlainValidator:
    """Name of a split."""
    return matching(NAME, "named by letters, digits, _ and, not first, -")


def split_names(*, may_be_empty: bool = False) -> PlainValidator:
    """A list of names of splits, each once."""
    least = "" if may_be_empty else "at least one of "
    return _each_once(
        f"a list of {least}the names in splits, each once",
        lambda value: isinstance(value, str),
        may_be_empty=may_be_empty,
    )


def some_of(known: Collection[str], *, may_be_empty: bool = False) -> PlainValidator:
    """A list of known words, each once."""
    least = "" if may_be_empty else "at least one of "
    return _each_once(
        f"a list of {least}{', '.join(known)}, each once",
        lambda value: isinstance(value, str) and value in known,
        may_be_empty=may_be_empty,
    )


def _matches(pattern: str, value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _is_text(value: object) -> bool:
    if not isinstance(value, str):
        return False
    return bool(value.strip()) and len(value) <= TEXT_MAX and value.isprintable()


def _single(rule: str, is_kept: Callable[[object], bool]) -> PlainValidator:
    def check(value: Any) -> Any:  # noqa: ANN401 - yaml gives anything
        if not is_kept(value):
            raise _broken(rule, value)
        return value

    return PlainValidator(check)


def _each_once(
    rule: str,
    is_kept: Callable[[object], bool],
    *,
    may_be_empty: bool = False,
) -> PlainValidator:
    def check(value: Any) -> tuple[Any, ...]:  # noqa: ANN401 - yaml gives anything
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        faulty = [item for item in value if not is_kept(item)] if is_list else [value]
        if faulty:
            # A list may be long: only the item that is wrong.
            raise _broken(rule, faulty[0])
        if len(set(value)) < len(value) or not (value or may_be_empty):
            raise _broken(rule, value)
        return tuple(value)

    return PlainValidator(check)


def _broken(rule: str, got: object) -> PydanticCustomError:
    return PydanticCustomError(RULE, "must be {rule}", {"rule": rule, "got": got})
