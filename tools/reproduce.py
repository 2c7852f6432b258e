"""Measures the paper's numbers for COCO once more, from the images on: ``make reproduce``.

Reads   ``params/coco.yaml``, ``versions.yaml``, ``dvc.yaml``; COCO's val2017, downloaded.
Writes  ``reproduce/``: images, weights, cache, heads and results, as a project of its own; the
        tables, the paper's numbers beside them and what the machine is, as ``reproduced.zip``.
"""

import argparse
import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

import numpy as np
import torch

from stages.cli.checkpoints import MB, download_bar
from stages.cli.columns import aligned, bytes_text
from stages.cli.doctor import unseen_gpu
from stages.cli.run import choose, run_step, steps_of
from stages.filling.plans import all_cells, cell_bytes
from stages.program.main import reported_errors
from stages.program.stopping import stoppable
from stages.settings.params import Params, read_params
from stages.settings.parsing import PARAMS_FILE, ParamsError, read_yaml
from stages.settings.versions import VERSIONS_FILE
from stages.tables.paper import PAPER
from storage.checkpoints.weights import checkpoints
from storage.errors import DataError
from storage.files.download import download
from storage.folders import whole_file, write_json, write_text
from storage.head_files.head_file import read_head_file
from storage.head_files.published_heads import published_families, published_file
from storage.paths import RESULTS
from tools.paper_heads import relative_aucs

ROOT: Final = Path(__file__).parents[1]

ADDRESS: Final = "http://images.cocodataset.org"
"""COCO's own server. Its certificate is of another name, so not https: digests are compared."""

COCO: Final = Path("data", "COCO")

OBJECTS_PER_IMAGE: Final = 7.34
"""Objects of the images of val2017 that have any: 36,335 in 4,952."""

AUTO: Final = re.compile(r"(?<=^  device: )auto\b", re.MULTILINE)
"""Pattern of the setting ``extract.device`` where it is ``auto``."""

INSTANCES: Final = "annotations/instances_val2017.json"

IMAGES: Final = "val2017"
"""Folder of the images, in the archive and in ``COCO``."""

SPLITS: Final = ("coco_val", "coco_heads")
"""Splits of ``params/coco.yaml``: to evaluate, and for the heads to learn from."""

STAGES: Final = (
    *("extract", "extract_train", "entropy", "tune", "train"),
    *("evaluate", "gallery", "runtime", "report"),
)
"""Stages of ``dvc.yaml`` that run after ``prepare``; no shapes are drawn."""

COMPARISON: Final = Path("paper_and_ours.csv")

SHOWN: Final = re.compile(r"best/table[1-4]_(\w+)")
"""Pattern of the tables whose numbers are printed: the relative AUC of a task, in %."""

REPORT_FILES: Final = (
    *("params.yaml", "version.txt", "doctor.txt", "plan.txt", "bench.txt", str(COMPARISON)),
    *("results/tables/**/*.csv", "results/metrics.json", "results/splits/*/run.json"),
)
"""Patterns of the files in ``reproduced.zip``."""


@dataclass(frozen=True)
class Archive:
    """A ZIP file of COCO."""

    path: str
    """Path on the server."""
    size_bytes: int
    sha256: str


ARCHIVES: Final = (
    Archive(
        "annotations/annotations_trainval2017.zip",
        252907541,
        "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
    ),
    Archive(
        "zips/val2017.zip",
        815585330,
        "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
    ),
)
"""Annotations and images of val2017; their digests stand in several public repositories."""


def main(arguments: Sequence[str]) -> None:
    """Fetch, compute, compare and pack; what is done already is not done again, heads apart."""
    options = _options(arguments)
    settings = options.params.read_text("utf-8")
    options.folder.mkdir(parents=True, exist_ok=True)
    with reported_errors(), stoppable("downloads and shards in the pool are kept"):
        with chdir(options.folder):
            write_text(PARAMS_FILE, AUTO.sub(options.device, settings))
            shutil.copy(ROOT / VERSIONS_FILE, VERSIONS_FILE)
            params = read_params()
            check_gpu(params.extract.device)
            check_disk(params, options.n_images)
            annotations, images = [fetch(archive, options.address) for archive in ARCHIVES]
            write_splits(annotations, images, options.n_images, params.prepare.seed)
            _fetch_models(params)
            _note("version.txt", "--version")
            _note("doctor.txt", "doctor")
            compute(["prepare"])
            _note("plan.txt", "plan")
            _note("bench.txt", "bench", "extraction")
            compute(STAGES)
            published = _of_published_heads(params)
            comparison = list(beside_paper(RESULTS / "tables", published))
            with whole_file(COMPARISON) as partial, partial.open("w", newline="") as file:
                csv.writer(file).writerows([COLUMNS, *comparison])
            packed = pack(Path("reproduced.zip"))
        shown = [row for row in comparison if SHOWN.match(row[0])]
        print(aligned([COLUMNS, *shown], right={2, 3, 4}))
        print(f"{len(comparison)} numbers in all: {options.folder / COMPARISON}")
        print(f"to send in: {options.folder / packed}")


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.reproduce", description=__doc__)
    parser.add_argument("--from", dest="address", default=ADDRESS, help="server of COCO's archives")
    parser.add_argument("--params", type=Path, default=ROOT / "params" / "coco.yaml")
    parser.add_argument("--folder", type=Path, default=Path("reproduce"))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="not auto")
    parser.add_argument("--images", dest="n_images", type=int, default=500, help="per split")
    return parser.parse_args(arguments)


def check_gpu(device: str) -> None:
    """Refuse a machine without a GPU that torch sees, unless the device is ``cpu``.

    Under ``auto``, a driver that does not fit PyTorch's CUDA would mean weeks on a processor.
    """
    if device != "cpu" and not torch.cuda.is_available():
        raise ParamsError(
            "make reproduce must have a GPU that torch sees, got none; "
            f"{unseen_gpu() or 'take a machine that has one'}, or the CPU for weeks: "
            "`make reproduce DEVICE=cpu`"
        )


def check_disk(params: Params, n_images: int) -> None:
    """Print what a run writes, and refuse a disk that has less room; what is there counts as room.

    Raises
    ------
    DataError
        If the disk lacks room even for masks with sharp outlines.
    """
    written = bytes_written(params, n_images)
    files = (path.lstat() for path in Path().rglob("*"))
    present = {file.st_ino: file.st_size for file in files}  # links of a file count once
    room = shutil.disk_usage(".").free + sum(present.values())
    kinds = [f"{kind} {bytes_text(*n_bytes)}" for kind, n_bytes in written.items()]
    low, high = (sum(n_bytes) for n_bytes in zip(*written.values(), strict=True))
    print(f"on the disk: {', '.join(kinds)}; in all {bytes_text(low, high)} of {bytes_text(room)}")
    if room < low:
        raise DataError(
            f"the disk must have room for {bytes_text(low, high)}, got {bytes_text(room)}: "
            "take another disk, by --folder, or fewer images, by --images"
        )


def bytes_written(params: Params, n_images: int) -> dict[str, tuple[int, int]]:
    """Fewest and most bytes that a run with ``n_images`` per split writes, by kind of files."""
    n_objects = round(n_images * OBJECTS_PER_IMAGE)
    cells = [cell_bytes(name, n_images, n_objects, params.extract) for name in all_cells(params)]
    features, low, high, _ = map(sum, zip(*cells, strict=True))
    models = checkpoints(params.extract.family) if params.extract.weights == "file" else ()
    fetched = sum(record.size_bytes for record in (*ARCHIVES, *models))
    fetched += ARCHIVES[1].size_bytes * len(SPLITS) * n_images // 5000  # unpacked
    return {
        "downloads": (fetched, fetched),
        "features": (2 * features, 2 * features),  # of the pool, and published
        "masks": (low, high),
    }


def fetch(archive: Archive, address: str) -> Path:
    """Download an archive unless it is intact already, from where an earlier download broke off.

    Raises
    ------
    WeightsError
        If the server cannot be read or serves another file.
    """
    path = COCO / Path(archive.path).name
    print(f"{path}: {archive.size_bytes / MB:.0f} MB", flush=True)
    url = f"{address}/{archive.path}"
    with download_bar(f"fetch {path.name}", archive.size_bytes) as bar:
        return download(url, path, archive.sha256, archive.size_bytes, advance=bar)


def write_splits(annotations: Path, images: Path, n_images: int, seed: int) -> None:
    """Write the annotation file of each split and extract its images.

    Raises
    ------
    DataError
        If the archives are no ZIP files, lack a file, or have too few images.
    """
    try:
        with ZipFile(annotations) as archive:
            splits = draw_splits(json.loads(archive.read(INSTANCES)), n_images, seed)
        with ZipFile(images) as archive:
            for name, split in zip(SPLITS, splits, strict=True):
                write_json(COCO / "annotations" / f"{name}.json", split)
                files = [f"{IMAGES}/{image['file_name']}" for image in split["images"]]
                archive.extractall(COCO, files)
    except (BadZipFile, KeyError) as error:
        raise DataError(
            f"{COCO} must have COCO's archives of val2017, got {error.args[0]}"
        ) from error


def draw_splits(instances: dict[str, Any], n_images: int, seed: int) -> list[dict[str, Any]]:
    """Draw images with objects for each of ``SPLITS``, none for both; with their annotations.

    Images and annotations are in the order of the file.

    Raises
    ------
    DataError
        If there are too few images.
    """
    objects = [item for item in instances["annotations"] if not item.get("iscrowd")]
    ids = sorted({item["image_id"] for item in objects})
    if not 1 <= n_images <= len(ids) // len(SPLITS):
        raise DataError(
            f"images per split must be 1 to {len(ids) // len(SPLITS)}, half of those with objects, "
            f"got {n_images}"
        )
    drawn = np.random.default_rng(seed).permutation(ids)
    splits = []
    for number in range(len(SPLITS)):
        chosen = set(drawn[number * n_images :][:n_images].tolist())
        images = [image for image in instances["images"] if image["id"] in chosen]
        of_split = [item for item in instances["annotations"] if item["image_id"] in chosen]
        splits.append({**instances, "images": images, "annotations": of_split})
    return splits


def _fetch_models(params: Params) -> None:
    """Fetch weights and published heads of the family, unless its weights are random."""
    family = params.extract.family
    if params.extract.weights == "file" and family in published_families():
        _run("-m", "stages.cli", "checkpoints", "fetch", family)
        _run("-m", "stages.cli", "heads", "fetch", family)


def compute(stages: Sequence[str]) -> None:
    """Run stages one after the other; shards in the pool are not computed again.

    There is no DVC in the folder: the outputs are the same, and images are not copied.
    """
    steps = list(steps_of(read_yaml(ROOT / "dvc.yaml"), read_yaml(PARAMS_FILE)))
    for step in choose(steps, stages):
        run_step(step)


def _run(*words: str) -> None:
    status = subprocess.run([sys.executable, *words], check=False).returncode
    if status:
        raise DataError(f"python {' '.join(words)} must end with status 0, got {status}")


def _note(file: str, *words: str) -> None:
    """Run ``usam``, show what it prints and write it to a file."""
    command = [sys.executable, "-m", "stages.cli", *words]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    print(done.stdout, flush=True)
    write_text(Path(file), done.stdout)
    if done.returncode:
        raise DataError(f"usam {' '.join(words)} must end with status 0, got {done.returncode}")


def _of_published_heads(params: Params) -> dict[tuple[str, str], float]:
    """Numbers of the published heads of the family, see ``relative_aucs``; empty without heads."""
    file = published_file(params.extract.family)
    if not file.exists():
        return {}
    return relative_aucs(read_head_file(file), SPLITS[0], params)


Compared = tuple[str, str, str, str, str]
"""A row of the comparison, with the columns ``COLUMNS``."""

COLUMNS: Final = ("table", "row", "paper", "ours", "published heads")
"""Columns of the comparison. ``ours`` is by heads that learned here, where the row has heads."""


def beside_paper(tables: Path, published: Mapping[tuple[str, str], float]) -> Iterator[Compared]:
    """Numbers of the report's tables for which the paper has a number, as the tables print them.

    Parameters
    ----------
    published
        Numbers of the paper's Tables 1 to 4 by the published heads, by task and measure.
    """
    for path in sorted(tables.rglob("*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            lines = csv.DictReader(file)
            names = list(lines.fieldnames or ())
            columns = [name for name in names if f"{name}{PAPER}" in names]
            table = str(path.relative_to(tables))
            task = SHOWN.match(table)
            for line in lines if columns else ():
                words = [line[name] for name in names[: names.index(columns[0])] if line[name]]
                percent = published.get((task[1], line["measure"])) if task else None
                for name in columns:
                    row, number = ", ".join([*words, name]), line[f"{name}{PAPER}"]
                    if number:
                        beside = "" if percent is None else f"{percent:.2f}"
                        yield table, row, number, line[name], beside


def pack(path: Path) -> Path:
    """Write the files of ``REPORT_FILES`` as a ZIP file."""
    with whole_file(path) as partial, ZipFile(partial, "w", ZIP_DEFLATED) as archive:
        for pattern in REPORT_FILES:
            for file in sorted(Path().glob(pattern)):
                archive.write(file)
    return path


if __name__ == "__main__":
    main(sys.argv[1:])
