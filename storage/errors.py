"""Errors about files on disk, and functions that word names and values in messages."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from reprlib import Repr
from typing import Final

N_LISTED: Final = 5
"""Largest number of faulty names that one message lists."""

N_HEX: Final = 12
"""Hex digits of a digest in a message."""

N_CHARACTERS: Final = 100
"""Largest number of characters that a message shows of a value."""

# Only the first items of a container are shown: a value may be a whole file.
_SHORT: Final = Repr()
_SHORT.maxlevel = 4
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxset = _SHORT.maxfrozenset = _SHORT.maxdict = 20
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = N_CHARACTERS


class StoreError(ValueError):
    """Raised for a store that is missing, out of reach, damaged, or made from other inputs."""


class ImageError(ValueError):
    """Raised for an image that cannot be read, or is not the image that its record describes."""


class DataError(ValueError):
    """Raised for annotations, results or other data that break the rules of their form."""


class WeightsError(ValueError):
    """Raised for weights or heads that are unknown, missing, damaged or of another form."""


def listed(names: Sequence[str], n_most: int = N_LISTED, separator: str = ", ") -> str:
    """Join the first ``n_most`` names to a text, and say how many more there are."""
    n_more = len(names) - n_most
    return separator.join(names[:n_most]) + (f" and {n_more} more" if n_more > 0 else "")


def counted(n: int, noun: str) -> str:
    """A count with its noun, in the singular or plural.

    >>> counted(1, "image"), counted(2500, "image")
    ('1 image', '2500 images')
    """
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def shown(value: object) -> str:
    """A value as a message shows it: its ``repr``, shortened to at most 100 characters.

    >>> shown("clip.mp4")
    "'clip.mp4'"
    >>> len(shown([[0.5] * 1000] * 1000))
    100
    """
    text = _SHORT.repr(value)
    return text if len(text) <= N_CHARACTERS else f"{text[: N_CHARACTERS - 3]}..."


def printable(text: str) -> str:
    r"""Escape the characters of a text that cannot be printed, such as control characters.

    >>> printable("a\x1b[31m.png")
    'a\\x1b[31m.png'
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def hidden(text: str) -> str:
    """Replace passwords, tokens and query values in the addresses of a text by ``***``.

    >>> hidden("dvc://https://ann:secret@lab.org/usam@v1: https://token@lab.org?sig=ab was refused")
    'dvc://https://***@lab.org/usam@v1: https://***@lab.org?sig=*** was refused'
    """
    text = re.sub(r"(https?://)[^/\s@]+@|(://)[^/\s@:]*:[^/\s@]+@", r"\1\2***@", text)
    return re.sub(r"([?&][\w.-]+=)[^&\s]+", r"\1***", text)


@contextmanager
def faults_of(split: str) -> Iterator[None]:
    """Context that raises a ``ValueError`` of its block as a ``DataError`` that names the split."""
    try:
        yield
    except ValueError as error:
        raise DataError(f"{split}: {error}") from error
