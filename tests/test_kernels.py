"""Copies of the project compile no kernel: ``tests.fixtures.kernels`` has compiled all of them."""

from collections.abc import Iterator
from importlib import import_module
from inspect import isclass, isfunction, unwrap
from pkgutil import walk_packages
from types import CodeType, ModuleType

import numpy as np
from numba.core.dispatcher import Dispatcher

import pipeline
from tests.fixtures import kernels as compiling


def names_in(code: CodeType) -> set[str]:
    """Names that a function uses, those in its inner functions, too."""
    inner = [names_in(part) for part in code.co_consts if isinstance(part, CodeType)]
    return {*code.co_names}.union(*inner)


def names_in_module(module: ModuleType) -> Iterator[set[str]]:
    """Names that the functions of a module use which Numba does not compile."""
    for value in vars(module).values():
        for member in vars(value).values() if isclass(value) else [value]:
            if isfunction(member) and member.__module__ == module.__name__:
                yield names_in(unwrap(member).__code__)


def test_every_kernel_that_python_calls_has_been_compiled() -> None:
    mask, _ = compiling.masks()
    assert not mask.any()
    entropies = [v for name, v in compiling.entropies().items() if name.startswith("h_")]
    assert all(np.allclose(entropy, 0) for entropy in entropies)
    assert all(np.size(array) for array in compiling.statistics())
    compiling.main()
    modules = [import_module(m.name) for m in walk_packages(pipeline.__path__, "pipeline.")]
    called = {name for module in modules for names in names_in_module(module) for name in names}
    kernels = {
        name: kernel
        for module in modules
        for name, kernel in vars(module).items()
        if isinstance(kernel, Dispatcher) and name in called
    }
    assert {"add_mixtures", "write_areas", "_cut"} <= kernels.keys()
    assert {name for name, kernel in kernels.items() if not kernel.signatures} == set()
