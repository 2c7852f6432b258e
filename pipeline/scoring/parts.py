"""Work that falls into parts, and how its parts are done."""

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar, runtime_checkable

T = TypeVar("T")
R = TypeVar("R")


@runtime_checkable
class Each(Protocol):
    """Does the same work for each of some items, as ``map`` does: results come in their order."""

    def __call__(self, work: Callable[[T], R], items: Iterable[T], /) -> Iterable[R]:
        """Return what ``work`` gives for each item."""
        ...


def one_by_one(work: Callable[[T], R], items: Iterable[T]) -> Iterable[R]:
    """Do each item's work when its result is asked for."""
    return map(work, items)
