"""``python -m docs.speed``: measures extractions, writes ``docs/speed.md``; takes many minutes."""

import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import torch

from pipeline.extraction.figures import mask_figures
from pipeline.extraction.iou import boxed_iou, mask_iou
from pipeline.extraction.predictions import encode_logits
from stages.extraction.models import device_name
from stages.shell.progress import progress
from storage.rle import decode_rle
from tests.benchmarks.timed_extraction import PLAIN_BATCH, Work
from tools.blocks import replace_block

PAGE: Final = Path(__file__).with_name("speed.md")

MODELS: Final = ("tiny", "large")
N_OBJECTS: Final = 15
COUNTS: Final = (1, 4, 15, 44, 150)
"""Objects in an image."""

BATCHES: Final = (1, 2, 4, 8, 16, 32)
N_ROUNDS: Final = 2

Runs = Mapping[str, Callable[[], object]]


def main() -> None:
    """Measure all, then write."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder, progress("speed", 2 * len(MODELS) + 2, "tables") as done:
        works = {model: Work.of(model, N_OBJECTS, _folder(folder, model)) for model in MODELS}
        images = _images(works, done)
        blocks = [_machine(), "### One image", images, "### Objects in the image"]
        blocks += [_counts(folder), "### Decoder alone"]
        done(1)
        blocks += [_decoder(works["tiny"]), "### By part"]
        done(1)
        blocks.append(_parts(works, done))
    written = "\n\n".join(blocks)
    replace_block(PAGE, "speed", f"\n{written}\n")


def _folder(parent: str, name: str) -> Path:
    folder = Path(parent) / name
    folder.mkdir()
    return folder


def least_seconds(runs: Runs, n_rounds: int = N_ROUNDS) -> dict[str, float]:
    """Least processor time of each run; they take turns."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(n_rounds):
        for name, run in runs.items():
            started = time.process_time()
            run()
            taken[name].append(time.process_time() - started)
    return {name: min(every) for name, every in taken.items()}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, numbers to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _machine() -> str:
    name = device_name(torch.device("cpu"))
    return f"Measured on {name}, one thread, {platform.system()}, PyTorch {torch.__version__}."


def _images(works: Mapping[str, Work], done: Callable[[int], None]) -> str:
    rows = []
    for model, work in works.items():
        work.bare()  # the first run of a process finds nothing in its caches
        found = least_seconds({"bare": work.bare, "ours": work.extract}, 1)
        ratio = found["ours"] / found["bare"]
        rows.append([model, f"{found['bare']:.1f}", f"{found['ours']:.1f}", f"{ratio:.2f}"])
        done(1)
    header = ["model", "SAM2 alone, s", "extraction, s", "ratio"]
    return f"{N_OBJECTS} objects, all that the stage does.\n\n{table(header, rows)}"


def _counts(folder: str) -> str:
    rows = []
    for n in COUNTS:
        work = Work.of("tiny", n, _folder(folder, str(n)))
        found = least_seconds({"ours": work.extract}, 1)["ours"]
        rows.append([str(n), f"{found:.1f}", f"{found / n:.2f}"])
    return table(["objects (tiny)", "extraction, s", "s per object"], rows)


def _decoder(work: Work) -> str:
    embedding = work.sam.encode(work.rgb)
    rng = np.random.default_rng(0)
    found = {}
    for batch in BATCHES:
        points = rng.uniform(0, 400, (batch, 1, 2)).astype(np.float32)
        runs = {
            "plain": partial(work.sam.decode_plainly, embedding, points),
            "shared": partial(work.sam.decode, embedding, points),
        }
        found[batch] = {name: 1000 * spent / batch for name, spent in least_seconds(runs).items()}
    best = {name: min(own[name] for own in found.values()) for name in ("plain", "shared")}
    rows = [
        [str(batch), f"{own['plain']:.1f}", f"{own['shared']:.1f}"] for batch, own in found.items()
    ]
    header = ["prompt sets per call", "SAM2's, ms per prompt set", "ours, ms"]
    said = (
        f"Each at its best batch, ours takes {best['shared'] / best['plain']:.2f} of SAM2's time. "
        "The decoders of all models are the same."
    )
    return f"{table(header, rows)}\n\n{said}"


def _parts(works: Mapping[str, Work], done: Callable[[int], None]) -> str:
    columns = []
    for work in works.values():
        spent = least_seconds(_part_runs(work))
        n_single, n_all = 8 * N_OBJECTS, 9 * N_OBJECTS
        plain = spent["plain"] * n_single + spent["plain, 8 clicks"] * N_OBJECTS
        shared = spent["shared"] * n_single + spent["shared, 8 clicks"] * N_OBJECTS
        rest = [spent["figures"] * n_all / work.batch, spent["coding"] * n_all / work.batch]
        iou = [spent[name] * n_all / work.batch for name in ("IoU", "IoU in the box")]
        columns.append([spent["encoder"], plain / PLAIN_BATCH, iou[0], *rest])
        columns.append([spent["encoder"], shared / work.batch, iou[1], *rest])
        done(1)
    names = ["encoder", "decoder", "IoU", "figures of masks", "coding of masks", "together"]
    numbers = np.array([[*column, sum(column)] for column in columns]).T
    rows = [
        [name, *(f"{value:.2f}" for value in row)] for name, row in zip(names, numbers, strict=True)
    ]
    header = [f"{model}, {when}" for model in works for when in ("before", "after")]
    said = f"Seconds of one image with {N_OBJECTS} objects, scaled up from some calls of each part."
    return f"{said}\n\n{table(['part', *header], rows)}"


def _part_runs(work: Work) -> Runs:
    """A call of each part."""
    sam, embedding, n = work.sam, work.sam.encode(work.rgb), work.batch
    points = work.table.point_px.astype(np.float32)
    clicks, plain_clicks = (points.reshape(-1, 1, 2)[:k] for k in (n, PLAIN_BATCH))
    logits = sam.decode(embedding, clicks).logits
    truth = torch.from_numpy(np.resize(_masks(work), (n, *work.rgb.shape[:2])))
    return {
        "encoder": lambda: sam.encode(work.rgb),
        "plain": lambda: sam.decode_plainly(embedding, plain_clicks),
        "plain, 8 clicks": lambda: sam.decode_plainly(embedding, points[:PLAIN_BATCH]),
        "shared": lambda: sam.decode(embedding, clicks),
        "shared, 8 clicks": lambda: sam.decode(embedding, points[:n]),
        "IoU": lambda: mask_iou(logits, truth),
        "IoU in the box": lambda: boxed_iou(logits, truth),
        "figures": lambda: mask_figures(logits),
        "coding": lambda: encode_logits(logits),
    }


def _masks(work: Work) -> np.ndarray:
    height, width = work.rgb.shape[:2]
    return np.stack([decode_rle(str(mask), height, width) for mask in work.table.mask_rle])


if __name__ == "__main__":
    main()
