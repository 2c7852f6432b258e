"""Text in aligned columns: one line per row; no cell is wrapped or shortened."""

import math
from collections.abc import Collection, Sequence
from typing import Final

from rich.cells import cell_len

from storage.errors import printable

GAP: Final = "  "

UNITS: Final = ("B", "kB", "MB", "GB", "TB")


def aligned(rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> str:
    r"""Join rows of cells into lines of text with aligned columns; escape control characters.

    All rows have the same length. Columns whose index is in ``right`` are flush right.

    >>> aligned([("model", "MB"), ("tiny", "9")], right={1})
    'model  MB\ntiny    9'
    """
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*shown, strict=True)]
    lines = []
    for row in shown:
        cells = []
        for i, (cell, width) in enumerate(zip(row, widths, strict=True)):
            pad = " " * (width - cell_len(cell))
            cells.append(pad + cell if i in right else cell + pad)
        lines.append(GAP.join(cells).rstrip())
    return "\n".join(lines)


def bytes_text(*n_bytes: float) -> str:
    """Write byte counts with up to three digits, joined by ``to``, in the unit of the last count.

    Counts with equal texts are written once.

    >>> bytes_text(1500), bytes_text(2.1e6, 5e6)
    ('1.5 kB', '2.1 to 5 MB')
    """
    power = min(int(math.log10(max(n_bytes[-1], 1)) // 3), len(UNITS) - 1)
    numbers = dict.fromkeys(f"{n / 1000**power:.3g}" for n in n_bytes)
    return f"{' to '.join(numbers)} {UNITS[power]}"
