"""Paths of all files and folders, relative to the root of the repository."""

import re
from pathlib import Path
from typing import Final

CACHE: Final = Path("cache")
"""Zarr stores."""

POOL: Final = CACHE / "pool"
"""Shards of cells, outside of every tracked output."""

WORK: Final = CACHE / "work"
"""Unfinished work that a stage resumes: searches, and training of the mini family."""

SHAPES: Final = Path("data", "shapes")
"""The drawn data set."""

HEADS: Final = Path("heads")
"""Trained heads and their tuned hyperparameters."""

RESULTS: Final = Path("results")
"""Tables, metrics and figures."""

RUNTIME_PATH: Final = RESULTS / "runtime.csv"
"""Seconds of every model and method on the machine that measured them."""

MAKERS: Final = (
    (r"data/shapes/.+", ("shapes",)),
    (r"cache/objects/(.+)\.zarr", ("prepare@{}",)),
    (r"cache/features/(.+)/(.+)/(identity)\.zarr", ("extract@{}-{}-{}", "extract_train@{}-{}")),
    (r"cache/(?:features|masks)/(.+)/(.+)/(.+)\.zarr", ("extract@{}-{}-{}",)),
    (r"cache/entropy/(.+)\.zarr", ("entropy@{}",)),
    (r"heads/(.+)/tuning/(.+)\.\w+", ("tune@{}-{}",)),
    (r"heads/([^/]+)/.+", ("train@{}",)),
    (r"results/splits/([^/]+)/.+", ("evaluate@{}",)),
    (r"results/gallery/([^/]+)/.+", ("gallery@{}",)),
    (r"results/runtime\.\w+", ("runtime",)),
)
"""Patterns of paths, each with the DVC stages that make them; the first match counts.

Features of the identity view have two stages: the second makes those of a train split.
"""


def remedy(path: Path, command: str = "dvc repro") -> str:
    """End of an error about a missing file or store: the command that makes it.

    >>> remedy(objects_path("val"))
    '; `dvc repro prepare@val` makes it'
    >>> remedy(Path("data/shapes/annotations/val.json"))
    '; `dvc repro shapes` makes it'
    >>> remedy(Path("elsewhere.zarr"))
    ''
    """
    for pattern, stages in MAKERS:
        if match := re.fullmatch(pattern, path.as_posix()):
            commands = [f"`{command} {stage.format(*match.groups())}`" for stage in stages]
            return f"; {' or, for a train split, '.join(commands)} makes it"
    return ""


def located(path: Path, cache: str | Path) -> str | Path:
    """Path or address of a store in a cache that lies elsewhere than in ``CACHE``.

    >>> located(objects_path("val"), "s3://lab/usam/cache/")
    's3://lab/usam/cache/objects/val.zarr'
    """
    relative = path.relative_to(CACHE)
    if isinstance(cache, Path):
        return cache / relative
    return f"{cache.rstrip('/')}/{relative.as_posix()}"


def objects_path(split: str) -> Path:
    """Store of a split's images, objects and prompts."""
    return CACHE / "objects" / f"{split}.zarr"


def features_path(split: str, model: str, view: str) -> Path:
    """Store of a cell's scores and tokens."""
    return CACHE / "features" / split / model / f"{view}.zarr"


def masks_path(split: str, model: str, view: str) -> Path:
    """Store of a cell's soft masks."""
    return CACHE / "masks" / split / model / f"{view}.zarr"


def entropy_path(split: str) -> Path:
    """Store of a split's Bayesian entropies."""
    return CACHE / "entropy" / f"{split}.zarr"


def heads_dir(split: str) -> Path:
    """Folder of the heads trained on a split."""
    return HEADS / split


def protocol_dir(split: str, protocol: str) -> Path:
    """Folder of the heads that learned a protocol's targets, by kind, then by token set."""
    return heads_dir(split) / protocol


def curves_path(split: str) -> Path:
    """Learning curves of all heads of a split."""
    return heads_dir(split) / "curves.csv"


def isotonic_path(split: str) -> Path:
    """Isotonic regressions of the IoU on the SamScore, fitted on a split."""
    return heads_dir(split) / "isotonic.json"


def tuning_path(split: str, objective: str) -> Path:
    """Hyperparameters chosen for one head."""
    return heads_dir(split) / "tuning" / f"{objective}.json"


def trials_path(split: str, objective: str) -> Path:
    """Every hyperparameter trial of one head."""
    return heads_dir(split) / "tuning" / f"{objective}.csv"


def results_dir(split: str) -> Path:
    """Folder of a split's results."""
    return RESULTS / "splits" / split


def gate_path(split: str, name: str) -> Path:
    """Threshold that ``usam gate`` calibrated on a split."""
    return RESULTS / "gates" / split / f"{name}.json"


def gallery_dir(split: str) -> Path:
    """Folder of the pictures of a split's objects."""
    return RESULTS / "gallery" / split
