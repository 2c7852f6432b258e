"""Settings: what is wrong is named with its key, the rule and the value."""

import copy
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml

from pipeline.vocabulary import MODELS
from stages.shell import params
from stages.shell.params import (
    ParamsError,
    check_known,
    read_block,
    read_lists,
    read_params,
    strict,
)
from tests.fixtures.view_settings import view_settings

ROOT = Path(__file__).parents[3]

PARAMS: dict[str, Any] = {
    "models": list(MODELS),
    "views": view_settings("identity", "vflip"),
    "eval_splits": ["val"],
    "train_splits": ["train"],
    "splits": {
        name: {"reader": "coco", "images": f"{name}/", "annotations": f"{name}.json"}
        for name in ("val", "train")
    },
    "entropy": {"n_workers": 2},
}
"""Settings without a fault; each test changes one thing."""


@strict
class Entropy:
    """A block of one setting."""

    n_workers: int


Write = Callable[[Any], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write settings, as text or as what yaml makes of it."""

    def write_params(content: Any) -> Path:  # noqa: ANN401 - what yaml holds
        path = tmp_path / "params.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return write_params


def changed(*keys: str, to: Any) -> dict[str, Any]:  # noqa: ANN401 - what yaml holds
    """``PARAMS`` with the value under a path of keys replaced or added."""
    settings = copy.deepcopy(PARAMS)
    block = settings
    for key in keys[:-1]:
        block = block[key]
    block[keys[-1]] = to
    return settings


def without(*keys: str) -> dict[str, Any]:
    """``PARAMS`` without one key."""
    settings = copy.deepcopy(PARAMS)
    block = settings
    for key in keys[:-1]:
        block = block[key]
    del block[keys[-1]]
    return settings


def message(read: Callable[[], object]) -> str:
    """What the refusal of some settings says."""
    with pytest.raises(ParamsError) as caught:
        read()
    return str(caught.value)


def test_the_settings_of_the_repository_parse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    lists = read_lists()
    assert set(lists.eval_splits) | set(lists.train_splits) <= set(lists.splits)
    assert set(read_params()) == {*params.LISTS, *params.BLOCKS}


def test_lists_come_out_typed(write: Write) -> None:
    lists = read_lists(write(PARAMS))
    assert lists.models == MODELS
    split = lists.split("val")
    assert lists.tokens == ("best",)
    settings = (split.reader, split.images, split.annotations, split.max_objects)
    assert settings == ("coco", "val/", "val.json", None)


def test_without_heads_some_models_are_enough(write: Write) -> None:
    some = changed("models", to=["large"]) | {"train_splits": []}
    assert read_lists(write(some)).models == ("large",)


def test_a_block_comes_out_typed_and_frozen(write: Write) -> None:
    block = read_block("entropy", Entropy, write(PARAMS))
    assert block.n_workers == 2
    with pytest.raises(FrozenInstanceError):
        block.n_workers = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        (changed("models", to=["huge"]), ("model must be one of tiny, small", "'huge'")),
        (changed("views", "vflop", to={}), ("view must be one of identity, vflip", "'vflop'")),
        (changed("eval_splits", to=["test"]), ("split must be one of", "train, val", "'test'")),
        (changed("train_splits", to=["test"]), ("split must be one of", "train, val", "'test'")),
        (changed("eval_splits", to=["train"]), ("trained or evaluated on, got both", "'train'")),
        (changed("tokens", to=["best", "all"]), ("tokens must be one of best, sel", "'all'")),
        (changed("tokens", to=["selected"]), ("tokens must have best", "got selected")),
        (changed("views", to={"vflip": {}}), ("views must have identity, got vflip",)),
        (changed("models", to=["tiny", "large"]), ("models must be tiny, small", "tiny, large")),
        (changed("models", to=["tiny", "tiny"]), ("models must name each once, got tiny, tiny",)),
        (changed("splits", "val", "max_objects", to=0), ("greater than or equal to 1", "got 0")),
        (changed("models", to="tiny"), ("models", "valid tuple", "'tiny'")),
        (changed("splits", to=["val"]), ("splits", "valid dictionary", "['val']")),
        (changed("splits", "val", to=3), ("splits.val", "got 3")),
        (changed("splits", "val", "max_objects", to="few"), ("splits.val.max_objects", "'few'")),
        (changed("splits", "val", "images", to=7), ("splits.val.images", "valid string", "got 7")),
        (without("splits", "val", "images"), ("must have a key 'splits.val.images'",)),
        (without("views"), ("must have a key 'views'",)),
        (
            changed("splits", "val", "imags", to="x"),
            ("one of reader, images, annotations, max_objects", "got 'splits.val.imags'"),
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_faulty_list_is_named(
    settings: dict[str, Any], parts: tuple[str, ...], write: Write
) -> None:
    path = write(settings)
    text = message(lambda: read_lists(path))
    assert [part for part in parts if part not in text] == []


@pytest.mark.parametrize(
    ("block", "text"),
    [
        ({"n_workers": "two"}, "entropy.n_workers: Input should be a valid integer"),
        ({"n_workers": 1.5}, "entropy.n_workers: Input should be a valid integer"),
        ({"n_workers": None}, "entropy.n_workers: Input should be a valid integer"),
        ({"n_workers": 2, "workers": 2}, "entropy: key must be one of n_workers, got 'workers'"),
        ({"n_worker": 2}, "entropy: key must be one of n_workers, got 'n_worker'"),
        ({}, "entropy: must have a key 'n_workers', got none"),
        ([2], "entropy: Input should be a dictionary"),
    ],
    ids=["text", "fraction", "empty", "extra key", "mistyped key", "missing key", "list"],
)
def test_a_faulty_block_is_named_with_the_file(block: object, text: str, write: Write) -> None:
    path = write(changed("entropy", to=block))
    assert message(lambda: read_block("entropy", Entropy, path)).startswith(f"{path}: {text}")


@pytest.mark.parametrize("value", ["two", 1.5, [2]])
def test_a_value_of_another_type_is_shown(value: object, write: Write) -> None:
    path = write(changed("entropy", "n_workers", to=value))
    assert message(lambda: read_block("entropy", Entropy, path)).endswith(f", got {value!r}")


@pytest.mark.parametrize("block", [None, [1], 3], ids=["empty", "list", "number"])
def test_a_block_that_is_no_mapping_is_named(block: object, write: Write) -> None:
    path = write(changed("entropy", to=block))
    text = message(lambda: read_block("entropy", Entropy, path))
    assert text.startswith(f"{path}: entropy")
    assert text.endswith(f", got {block!r}")


def test_a_missing_block_is_named_with_those_there(write: Write) -> None:
    path = write(without("entropy"))
    text = message(lambda: read_block("entropy", Entropy, path))
    assert text.startswith(f"{path} must have a block 'entropy', got ")
    assert "models" in text


def test_a_mistyped_block_is_named_with_those_allowed(write: Write) -> None:
    path = write(changed("entrpy", to={}))
    text = message(lambda: read_params(path))
    assert text.startswith(f"{path}: top-level key must be one of models, ")
    assert text.endswith("evaluate, gallery, runtime, report, got 'entrpy'")


@pytest.mark.parametrize(
    ("content", "kind"), [("", "NoneType"), ("- models\n", "list"), ("tiny\n", "str")]
)
def test_settings_that_are_no_mapping_are_refused(content: str, kind: str, write: Write) -> None:
    path = write(content)
    assert message(lambda: read_params(path)) == (
        f"{path} must hold a mapping of blocks, got {kind}"
    )


def test_settings_that_are_no_yaml_are_refused_with_the_line(write: Write) -> None:
    path = write("models: [tiny\nviews: []\n")
    text = message(lambda: read_params(path))
    assert text.startswith(f"{path} must be yaml, got: ")
    assert "line 2" in text


def test_missing_settings_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"params\.yaml must be there, got none: go to the root"):
        read_params(tmp_path / "params.yaml")


def test_an_unknown_split_is_named_with_those_known(write: Write) -> None:
    lists = read_lists(write(PARAMS))
    assert message(lambda: lists.split("test")) == "split must be one of train, val, got 'test'"


def test_a_known_name_passes() -> None:
    check_known("view", "vflip", ("identity", "vflip"))


def test_lists_and_fields_are_the_same_names() -> None:
    assert tuple(get_type_hints(params.Lists)) == params.LISTS
