"""Runs the notebook ``docs/predict.ipynb``: ``make results``.

Reads   the cells of ``docs/predict.ipynb``, the weights and heads that ship.
Writes  ``docs/predict.ipynb``, with the outputs of its cells.
"""

from pathlib import Path
from typing import Final

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT: Final = Path(__file__).parents[1]

NOTEBOOK: Final = ROOT / "docs" / "predict.ipynb"


def main() -> None:
    """Write the notebook with new outputs."""
    text = nbformat.writes(run(stored()))  # type: ignore[no-untyped-call]
    NOTEBOOK.write_text(f"{text}\n", encoding="utf-8")


def stored() -> NotebookNode:
    """The notebook as it is stored."""
    notebook: NotebookNode = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


def run(before: NotebookNode) -> NotebookNode:
    """The notebook with its outputs, but without times and names of the machine."""
    resources = {"metadata": {"path": str(ROOT)}}
    done = NotebookClient(before, timeout=600, record_timing=False, resources=resources).execute()
    done.metadata = {"kernelspec": done.metadata["kernelspec"]}
    return done


if __name__ == "__main__":
    main()
