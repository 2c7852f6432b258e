"""Paths of all files and folders; outputs are relative to the root of the repository."""

import re
from pathlib import Path
from shlex import quote
from typing import Final

PACKAGE: Final = Path(__file__).parent
"""Folder of the Python package ``storage``, which contains the weights and heads of ``mini``."""

CACHE: Final = Path("cache")
"""Folder of all Zarr stores."""

POOL: Final = CACHE / "pool"
"""Folder of the shards of cells; DVC does not track it."""

WORK: Final = CACHE / "work"
"""Folder of unfinished work that a stage resumes: searches, training of the mini family."""

SHAPES: Final = Path("data", "shapes")
"""Folder of the drawn data set."""

HEADS: Final = Path("heads")
"""Folder of trained heads and their tuned hyperparameters."""

RESULTS: Final = Path("results")
"""Folder of tables, metrics and figures."""

PAGE: Final = RESULTS / "report.html"
"""Page of the report, which shows all results."""

RUNTIME_PATH: Final = RESULTS / "runtime.csv"
"""Table of the seconds that each model and method takes, on the machine that ran ``runtime``."""

MAKERS: Final = (
    (r"data/shapes(?:/.+)?", ("shapes",)),
    (r"cache/objects/(.+)\.zarr", ("prepare@{}",)),
    (r"cache/features/(.+)/(.+)/(.+)\.zarr", ("extract@{}-{}-{}", "extract_train@{}-{}-{}")),
    (r"cache/masks/(.+)/(.+)/(.+)\.zarr", ("extract@{}-{}-{}",)),
    (r"cache/embeddings/(.+)/(.+)\.zarr", ("embed@{}-{}",)),
    (r"cache/entropy/(.+)\.zarr", ("entropy@{}",)),
    (r"heads/([^/]+)/tuning/[^/]+/(.+)\.\w+", ("tune@{}-{}",)),
    (r"heads/([^/]+)/(?!tuning)([^/]+)(?:/.+)?", ("train@{}-{}",)),
    (r"results/splits/([^/]+)(?:/.+)?", ("evaluate@{}",)),
    (r"results/gallery/([^/]+)(?:/.+)?", ("gallery@{}",)),
    (r"results/runtime\.\w+", ("runtime",)),
    (r"results/(?:metrics\.json|report\.html|tables(?:/.+)?)", ("report",)),
)
"""Patterns of paths, each with the DVC stages that make such a path; the first match counts.

Features have two stages:
``extract_train`` makes them for a train split."""


def remedy(path: Path, command: str = "dvc repro") -> str:
    """End of an error about a missing file or store: the command of DVC that makes it.

    Empty for a path that no stage makes. ``command`` is the command without the stage.

    >>> remedy(objects_path("val"))
    '; `dvc repro prepare@val` makes it'
    >>> remedy(Path("elsewhere.zarr"))
    ''
    """
    for pattern, stages in MAKERS:
        if match := re.fullmatch(pattern, path.as_posix()):
            commands = [f"`{command} {stage.format(*match.groups())}`" for stage in stages]
            return f"; {' or, for a train split, '.join(commands)} makes it"
    return ""


def repair_advice(path: Path) -> str:
    """End of an error about a damaged file: how to bring it back.

    Empty for files that are neither in an output of a stage nor in this package. ``dvc repro``
    alone would put the same damaged output back, since the file is a link to DVC's cache, whose
    files DVC takes for intact.
    """
    if remedy(path):
        return "; `usam cache repair` makes it again"
    return f"; {reinstall_command(path)}" if path.is_relative_to(PACKAGE) else ""


def reinstall_command(path: Path) -> str:
    """Part of a message: how to bring back a file that comes with this package.

    In a clone, it is a command of git; elsewhere, the advice to install the package again.
    """
    if (PACKAGE.parent / ".git").exists():
        return f"run git -C {quote(str(path.parent))} checkout {path.name}"
    # Without this option, pip takes the installed version for a whole one.
    return "install usam-cache again, with pip's option --force-reinstall"


def located(path: Path, cache: str | Path) -> str | Path:
    """Path or address of a store in the folder or at the address ``cache``, in place of ``CACHE``.

    >>> located(objects_path("val"), "s3://lab/usam/cache/")
    's3://lab/usam/cache/objects/val.zarr'
    """
    relative = path.relative_to(CACHE)
    if isinstance(cache, Path):
        return cache / relative
    return f"{cache.rstrip('/')}/{relative.as_posix()}"


def objects_path(split: str) -> Path:
    """Path of the store of a split's images, objects and prompts."""
    return CACHE / "objects" / f"{split}.zarr"


def features_path(split: str, model: str, view: str) -> Path:
    """Path of the store of a cell's scores and tokens."""
    return CACHE / "features" / split / model / f"{view}.zarr"


def masks_path(split: str, model: str, view: str) -> Path:
    """Path of the store of a cell's soft masks."""
    return CACHE / "masks" / split / model / f"{view}.zarr"


def embeddings_path(split: str, model: str) -> Path:
    """Path of the store of a model's embeddings of a split's images."""
    return CACHE / "embeddings" / split / f"{model}.zarr"


def entropy_path(split: str) -> Path:
    """Path of the store of a split's Bayesian entropies."""
    return CACHE / "entropy" / f"{split}.zarr"


def heads_dir(split: str) -> Path:
    """Folder of the heads trained on a split."""
    return HEADS / split


def kind_dir(split: str, kind: str) -> Path:
    """Folder of the heads of one kind that were trained on a split, and of what belongs to them.

    The heads are in ``<protocol>/<token set>.safetensors``, see ``HeadSet``.
    """
    return heads_dir(split) / kind


def isotonic_path(split: str, kind: str) -> Path:
    """Path of the calibrations of SamScores and the fixed cuts that were fitted on a split.

    They do not depend on the kind: each has them for the images that its heads learned from.
    """
    return kind_dir(split, kind) / "isotonic.json"


def tuning_path(split: str, kind: str, objective: str) -> Path:
    """Path of the hyperparameters chosen on a split for the heads of a kind and an objective."""
    return heads_dir(split) / "tuning" / kind / f"{objective}.json"


def trials_path(split: str, kind: str, objective: str) -> Path:
    """Path of the table of all hyperparameters tried for the heads of a kind and an objective."""
    return tuning_path(split, kind, objective).with_suffix(".csv")


def results_dir(split: str) -> Path:
    """Folder of the results of the stage ``evaluate`` for a split."""
    return RESULTS / "splits" / split


def gate_path(split: str, name: str) -> Path:
    """Path of the record of a guarantee that ``usam gate`` calibrated on a split."""
    return RESULTS / "gates" / split / f"{name}.json"


def gallery_dir(split: str) -> Path:
    """Folder of the gallery of a split: pictures of its objects."""
    return RESULTS / "gallery" / split
