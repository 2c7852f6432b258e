"""The ``>>>`` examples of docstrings say what is so; the public functions have one."""

import doctest
import importlib
import inspect
from collections.abc import Iterator

import pytest

from tests.fixtures.dvc_stages import PACKAGES, ROOT

PUBLIC = (
    "pipeline.scoring.auc.correction_auc",
    "pipeline.entropy.mixtures.mask_entropy",
    "pipeline.masks.decode",
    "pipeline.masks.encode",
    "pipeline.prompts.sample_prompts",
    "pipeline.sam.building.build",
)

MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if ">>>" in path.read_text("utf-8")
)


def examples(name: str) -> Iterator[doctest.DocTest]:
    """Examples of a module's functions; doctest's finder passes over those with checked shapes."""
    module = importlib.import_module(name)
    for key, value in vars(module).items():
        if inspect.isroutine(value) and value.__module__ == name:
            found = doctest.DocTestParser().get_doctest(
                inspect.getdoc(value) or "", dict(vars(module)), f"{name}.{key}", None, None
            )
            if found.examples:
                yield found


@pytest.mark.parametrize("name", MODULES)
def test_examples_say_what_is_so(name: str) -> None:
    found = list(examples(name))
    assert found
    assert sum(doctest.DocTestRunner().run(each).failed for each in found) == 0


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_function_has_an_example(name: str) -> None:
    assert name in [each.name for each in examples(name.rpartition(".")[0])]
