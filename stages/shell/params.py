"""Settings: ``params.yaml`` as typed, checked values."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, cast, dataclass_transform, get_args

import yaml
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from pipeline.views import View, parse_view
from pipeline.vocabulary import MODELS, TOKEN_SETS

PARAMS_FILE: Final = Path("params.yaml")
LISTS: Final = ("models", "views", "eval_splits", "train_splits", "splits", "tokens")
BLOCKS: Final = (
    "shapes",
    "prepare",
    "extract",
    "entropy",
    "tune",
    "train",
    "evaluate",
    "gallery",
    "runtime",
    "report",
)

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def strict(block_type: type[T]) -> type[T]:
    """Make a class a params block: frozen, no key more and none less than its fields."""
    return cast("type[T]", dataclass(frozen=True, config={"extra": "forbid"})(block_type))


class ParamsError(ValueError):
    """A setting is missing, unknown or out of range."""


@strict
class FrameRange:
    """Which of a video's annotated frames are taken, counted from 0; ``end`` is not."""

    start: Annotated[int, Field(ge=0)] = 0
    end: Annotated[int, Field(ge=1)] | None = None
    stride: Annotated[int, Field(ge=1)] = 1


@strict
class Split:
    """Where the images and objects of a split are; each reader knows some of the last four."""

    reader: str
    images: str
    annotations: str
    max_objects: Annotated[int, Field(ge=1)] | None = None
    list: str | None = None
    frames: FrameRange | None = None
    subsets: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    masklets: Literal["manual", "auto", "both"] | None = None


@strict
class Lists:
    """What the matrices span, and stages share."""

    models: tuple[str, ...]
    views: dict[str, dict[str, Any]]
    eval_splits: tuple[str, ...]
    train_splits: tuple[str, ...]
    splits: dict[str, Split]
    tokens: tuple[str, ...] = ("best",)

    def split(self, name: str) -> Split:
        """Settings of a split.

        Raises
        ------
        ParamsError
            If ``splits`` has no such name.
        """
        check_known("split", name, tuple(self.splits))
        return self.splits[name]

    def view(self, name: str) -> View:
        """A view with its parameters.

        Raises
        ------
        ParamsError
            If ``views`` has no such name, or a parameter is wrong.
        """
        check_known("view", name, tuple(self.views))
        try:
            return parse_view(name, self.views[name])
        except ValueError as error:
            raise ParamsError(str(error)) from error


def read_params(path: Path = PARAMS_FILE) -> dict[str, Any]:
    """Parse the settings file and check the names of its blocks."""
    try:
        params = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ParamsError(
            f"{path} must be there, got none: go to the root of a clone of usam-cache"
        ) from error
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} must be yaml, got: {error}") from error
    if not isinstance(params, dict):
        raise ParamsError(f"{path} must hold a mapping of blocks, got {type(params).__name__}")
    for key in params:
        if key not in (*LISTS, *BLOCKS):
            raise ParamsError(
                f"{path}: top-level key must be one of {', '.join((*LISTS, *BLOCKS))}, got {key!r}"
            )
    return params


def read_block(name: str, block_type: type[T], path: Path = PARAMS_FILE) -> T:
    """Read one block as ``block_type``, a dataclass made by ``strict``."""
    params = read_params(path)
    if name not in params:
        raise ParamsError(f"{path} must have a block {name!r}, got {', '.join(params)}")
    return parse(f"{path}: {name}", params[name], block_type)


def read_lists(path: Path = PARAMS_FILE) -> Lists:
    """Read what the matrices span, each name checked against the vocabulary."""
    params = read_params(path)
    lists = parse(str(path), {k: v for k, v in params.items() if k in LISTS}, Lists)
    _check_names(path, lists)
    _check_rules(path, lists)
    return lists


def _check_names(path: Path, lists: Lists) -> None:
    for thing in ("models", "eval_splits", "train_splits", "tokens"):
        names = getattr(lists, thing)
        if len(set(names)) < len(names):
            raise ParamsError(f"{path}: {thing} must name each once, got {', '.join(names)}")
    for model in lists.models:
        check_known("model", model, MODELS)
    for view in lists.views:
        lists.view(view)
    for tokens in lists.tokens:
        check_known("tokens", tokens, TOKEN_SETS)
    for split in (*lists.eval_splits, *lists.train_splits):
        check_known("split", split, tuple(lists.splits))


def _check_rules(path: Path, lists: Lists) -> None:
    """Refuse at once what some stage would refuse after hours of others."""
    if "best" not in lists.tokens:
        raise ParamsError(
            f"{path}: tokens must have best, the method's own, got {', '.join(lists.tokens)}"
        )
    if "identity" not in lists.views:
        raise ParamsError(f"{path}: views must have identity, got {', '.join(lists.views)}")
    if lists.train_splits and set(lists.models) != set(MODELS):
        raise ParamsError(
            f"{path}: models must be {', '.join(MODELS)} where train_splits has any, for heads "
            f"compare them, got {', '.join(lists.models)}"
        )
    both = set(lists.eval_splits) & set(lists.train_splits)
    if both:
        raise ParamsError(f"a split must be trained or evaluated on, got both for {sorted(both)}")


def check_known(thing: str, name: str, known: tuple[str, ...]) -> None:
    """Refuse a name outside a vocabulary."""
    if name not in known:
        raise ParamsError(f"{thing} must be one of {', '.join(known)}, got {name!r}")


def parse(where: str, data: Any, block_type: type[T]) -> T:  # noqa: ANN401 - yaml gives anything
    """Turn parsed yaml into ``block_type``.

    Raises
    ------
    ParamsError
        Naming the first faulty key, its value and, for an unknown key, the keys that are allowed.
    """
    try:
        return TypeAdapter(block_type).validate_python(data)
    except ValidationError as error:
        raise ParamsError(_message(where, block_type, error)) from error


def _message(where: str, block_type: type, error: ValidationError) -> str:
    faults = error.errors(include_url=False)
    # A mistyped key is also a missing one: the typing is the news.
    unknown = [fault for fault in faults if fault["type"] == "unexpected_keyword_argument"]
    first = (unknown or faults)[0]
    loc = [str(part) for part in first["loc"]]
    if unknown:
        allowed = ", ".join(_keys(block_type, loc[:-1]))
        return f"{where}: key must be one of {allowed}, got {'.'.join(loc)!r}"
    if first["type"] in {"missing", "missing_argument"}:
        return f"{where}: must have a key {'.'.join(loc)!r}, got none"
    return f"{'.'.join((where, *loc))}: {first['msg']}, got {first['input']!r}"


def _keys(block_type: Any, loc: list[str]) -> tuple[str, ...]:  # noqa: ANN401 - any annotation
    """Field names of the block at ``loc`` below ``block_type``, through mappings of blocks."""
    for part in loc:
        if is_dataclass(block_type):
            block_type = next(f.type for f in fields(block_type) if f.name == part)
        else:
            block_type = get_args(block_type)[-1]
        if type(None) in get_args(block_type):
            block_type = get_args(block_type)[0]
    return tuple(field.name for field in fields(block_type))
