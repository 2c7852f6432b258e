"""The ``>>>`` examples of docstrings say what is so; the public functions have one."""

import doctest
import importlib
import inspect
from collections.abc import Iterator
from itertools import chain

import pytest

from tests.fixtures.dvc_stages import PACKAGES, ROOT

MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if ">>>" in path.read_text("utf-8")
)


def examples(name: str) -> Iterator[doctest.DocTest]:
    """Examples of a module's functions and methods; doctest's finder skips functions whose shapes
    are checked.
    """
    module = importlib.import_module(name)
    classes = [each for each in vars(module).values() if inspect.isclass(each)]
    scopes = [vars(module), *(vars(each) for each in classes if each.__module__ == name)]
    for key, value in chain.from_iterable(scope.items() for scope in scopes):
        is_property = isinstance(value, property)
        if is_property or (inspect.isroutine(value) and value.__module__ == name):
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
