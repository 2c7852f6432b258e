"""What was removed, and what to do instead: a line for scripts and files that still use it."""

from collections.abc import Mapping
from typing import Final

REMOVED: Final[Mapping[str, str]] = {
    "extract.version": "delete the key, versions.yaml has the version",
    "extract.compile": "delete the key, compiled models gained nothing (docs/speed.md)",
    "entropy": "delete the block, executor.n_threads says how many shards are read at once",
    "evaluate.n_splits": "delete the key, nothing is calibrated on random halves any more",
    "heads: ensemble": "take heads of kind ours, which did as well (docs/heads.md)",
    "heads: heteroscedastic": "take heads of kind ours, which did as well (docs/heads.md)",
    "usam bench runtime": "run `usam bench`, with the same options",
    "usam cache info": "run `usam cache ls`, or `usam cache ls STORE`",
    "usam cache migrate": "run `dvc repro`, which makes stores of earlier versions again",
    "usam cache pack": "run `zip -0 -r ../STORE.zip .` in the store (docs/share.md)",
    "usam cache unpack": "run `unzip STORE.zip -d STORE`, or open the ZIP file as it is",
    "usam family": "run `python -m tools.family` in a clone (docs/mini.md)",
    "usam predict --bayesian": "run the pipeline on your images: its stage `entropy` computes "
    "entropies over views, clicks and models (docs/datasets.md)",
    "usam predict --good-iou": "say by --cost-of-click, --cost-of-larger-model and "
    "--cost-of-person what a correction must gain to be advised (docs/predict.md)",
    "usam fill --same-device": "ask the batch system for one kind of device (docs/cluster.md)",
}
"""Remedy by what was removed: a key of ``params.yaml``, ``key: value`` for a value of one, or a
command, with the option where only that is gone.
"""


def removal(name: str) -> str | None:
    """The line that names something removed and its remedy; None if it never existed."""
    remedy = REMOVED.get(name)
    return None if remedy is None else f"{name} was removed: {remedy}"
