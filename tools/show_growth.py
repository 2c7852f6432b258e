"""Writes how the gain of heads grows with the photographs that they learn from.

``python -m tools.show_growth`` is a part of ``make results-photographs``.

Reads   ``params/photographs.yaml``; the photographs of its train split; the cells and entropies of
        its first eval split.
Writes  in ``docs/results.md``, a table and what follows from it; in ``build/growth``, features of
        more segments per photograph, and trained heads, which a later run takes from there.
"""

from collections.abc import Mapping, Sequence
from contextlib import chdir
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool

from pipeline.heads.objectives import TrainingSet
from pipeline.heads.training import Rows, train_heads
from pipeline.scoring.bootstrap import Resampled, interval, resample_groups
from pipeline.scoring.corrections import auc_scores
from pipeline.scoring.tasks import default_model
from pipeline.seeds import derive_seed
from pipeline.vocabulary import N_PROPOSALS, USED
from stages.executor.opened_cells import opened
from stages.own_heads import extract_own
from stages.page.labels import TASK_LABELS
from stages.page.verdict import OWN_HEADS
from stages.predictor.model_choice import OF_USERS
from stages.settings.blocks import Split
from stages.settings.params import Params, cache_location, read_params
from stages.settings.signatures import eval_settings
from stages.settings.versions import version_entry
from stages.split_predictions import SplitHeads, model_scores
from stages.training.data import group_index, origin_of, read_head_data
from storage.head_files.head_file import HeadFile, pack_heads, read_head_file, write_head_file
from storage.split.object_table import ObjectTable
from storage.split.split_cells import SplitCells, open_cells, read_entropies
from storage.store.signature import digest
from tools.blocks import replace_block, table, with_interval
from tools.show_results import PAGE

PARAMS: Final = Path("params", "photographs.yaml")

WORK: Final = Path("build", "growth")
"""Folder of a small project of its own, with the train split alone."""

Size = tuple[int, int]
"""A number of photographs, and the largest number of segments of each, that heads learn from."""

SIZES: Final = tuple(product((25, 50, 100), (5, 15, 50)))
"""Sizes in the order of the table."""

STEPS: Final = (((25, 15), (100, 15)), ((100, 5), (100, 50)))
"""Pairs of sizes whose difference has a row: more photographs, then more segments of each."""

Margins = Mapping[tuple[str, Size], Resampled]
"""Points of relative AUC that heads lie above 1 - SamScore in each draw, by task and size."""


def main() -> None:
    """Rewrite the block."""
    torch.set_num_threads(1)
    params = read_params(PARAMS)
    of_train = params.splits[params.train_splits[0]]
    location = replace(
        of_train,
        images=str(Path(of_train.images).absolute()),
        annotations=str(Path(of_train.annotations).absolute()),
        max_objects_per_image=max(n_segments for _, n_segments in SIZES),
    )
    WORK.mkdir(parents=True, exist_ok=True)
    with chdir(WORK):
        heads = heads_by_size(params, location)
    n_objects = {size: int(file.card["n_objects"]) for size, file in heads.items()}
    margins, n_images = scored(params, heads)
    block = growth_block(margins, n_objects, params.models, n_images)
    replace_block(PAGE, "photographs-growth", f"\n{block}\n")


def heads_by_size(params: Params, location: Split) -> dict[Size, HeadFile]:
    """Train heads on parts of the train split, in the current folder; trained heads are kept."""
    to_open = extract_own(
        params.train_splits[0],
        location,
        params.extract,
        models=params.models,
        extra_prompts=params.train_prompts,
        prepare=params.prepare,
    )
    cells = opened(to_open)
    data, seeds = read_head_data(cells, OF_USERS), (params.prepare.seed, params.train.seeds[0])
    return {size: trained(cells, data, size, *seeds) for size in SIZES}


def part_of(table: ObjectTable, size: Size, seed: int) -> Bool[np.ndarray, "object"]:
    """Whether each object is one of the first segments of one of the first photographs.

    Photographs are in a random order, and the segments of each are in the order in which
    ``max_objects_per_image`` draws them. So a smaller part is part of a larger one.
    """
    n_photographs, n_segments = size
    photographs = np.random.default_rng(seed).permutation(len(table.file))[:n_photographs]
    of_objects = zip(table.file[table.image_index], table.object_id.tolist(), strict=True)
    drawn = pd.Series([derive_seed(seed, file, number) for file, number in of_objects], dtype="u8")
    place = drawn.groupby(table.image_index).rank(method="first").to_numpy()
    return np.isin(table.image_index, photographs) & (place <= n_segments)


def trained(
    cells: SplitCells, data: TrainingSet, size: Size, part_seed: int, seed: int
) -> HeadFile:
    """Train heads on a part of the cells; ``seed`` is that of the training.

    Heads that learned from the same are read from the folder ``heads``.
    """
    is_in = part_of(cells.table, size, part_seed)
    learned = {
        **OF_USERS.card,
        **origin_of(cells),
        **{key: str(number) for key, number in version_entry("train").items()},
        "part": f"{size[0]} photographs, {size[1]} segments of each, seed {part_seed}",
        "seed": str(seed),
        "n_objects": str(is_in.sum()),
    }
    path = Path("heads", f"{digest(learned)}.safetensors")
    if not path.exists():
        n_sets = len(data.group) // (N_PROPOSALS * len(is_in))
        rows = np.flatnonzero(np.tile(np.repeat(is_in, N_PROPOSALS), n_sets))
        kind, objectives = OF_USERS.of_kind, OF_USERS.objectives(cells.models)
        assert kind.plan is not None
        print(f"train heads on {learned['part']}: {learned['n_objects']} objects", flush=True)
        by_objective = train_heads(
            data, Rows(rows, np.arange(0)), objectives, kind.plan, seed=seed, kind=kind
        )
        weights = {objective: head.weights for objective, head in by_objective.items()}
        write_head_file(path, pack_heads(weights, dict.fromkeys(weights, learned)))
    return read_head_file(path)


def scored(params: Params, heads: Mapping[Size, HeadFile]) -> tuple[Margins, int]:
    """Score heads on the first eval split as the stage ``evaluate`` does.

    Returns
    -------
    Margins for masks as a user has them, of the model that tables show for each task; and the
    number of images.
    """
    split, views = params.eval_splits[0], [params.view(name) for name in params.views]
    expected = eval_settings(params.extract, split, params.models, views, params.extra_prompts)
    cells = open_cells(split, expected, cache=cache_location())
    sizes = {str(size): size for size in heads}
    files = {(OF_USERS, name): heads[size] for name, size in sizes.items()}
    models = model_scores(cells, read_entropies(cells), SplitHeads(files, {}, {}))
    settings = params.evaluate
    resamples = resample_groups(group_index(cells.table), settings.n_resamples, settings.seed)
    margins = {
        (keys.task, sizes[keys.train_split]): 100 * statistics["margin"]
        for keys, statistics in auc_scores(models, resamples)
        if (keys.protocol, keys.measure) == (USED, OWN_HEADS.measures[keys.task])
        and keys.model == default_model(keys.task, cells.models)
    }
    return margins, resamples.n_groups


def growth_block(
    margins: Margins, n_objects: Mapping[Size, int], models: Sequence[str], n_images: int
) -> str:
    """Sentences, then a row for each size and each difference; ``n_objects`` are those to learn."""
    tasks = [task for task in TASK_LABELS if (task, SIZES[0]) in margins]
    header = ["photographs", "segments of each", "segments"]
    header += [f"{TASK_LABELS[task]}, {default_model(task, models)}" for task in tasks]
    rows = [
        [*map(str, size), f"{n:,}", *(_points(margins[task, size], n_images) for task in tasks)]
        for size, n in n_objects.items()
    ]
    grown = []
    for step in STEPS:
        cells = [" to ".join(dict.fromkeys(map(str, ends))) for ends in zip(*step, strict=True)]
        first, last = step
        changes = {TASK_LABELS[task]: margins[task, last] - margins[task, first] for task in tasks}
        rows.append([*cells, "", *(_points(draws, n_images) for draws in changes.values())])
        is_grown = {name: interval(draws, n_images).low > 0 for name, draws in changes.items()}
        grown += [f"{name}, {' × '.join(cells)}" for name, is_above in is_grown.items() if is_above]
    named = f" ({'; '.join(grown)})" if grown else ""
    words = (
        "The test photographs were scored once more for this table. Its last rows are differences "
        f"of two others. Of their {len(STEPS) * len(tasks)} intervals, each of one comparison "
        f"alone, {len(grown)} lie above 0{named}; where one contains 0, these photographs do not "
        "show whether the gain grows."
    )
    return f"{words}\n\n{table(header, rows, left=())}"


def _points(draws: Resampled, n_images: int) -> str:
    return with_interval(draws, n_images, "+.1f").replace("-", "−")


if __name__ == "__main__":
    main()
