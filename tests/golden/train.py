"""Golden features of a few objects, and the predictions of heads trained on them."""

import sys
import tempfile
from contextlib import chdir
from itertools import product
from typing import Final

import numpy as np
import pytest

from pipeline.heads.kinds import ISOTONIC, HeadSet, head_sets
from pipeline.heads.predict import predict
from pipeline.vocabulary import ABLATIONS, JUDGED, MASK_STATISTICS, N_PROPOSALS, TRAIN_PROMPTS
from stages import train, tune
from stages.training.data import read_head_data
from storage.head_files.calibrated_scores import read_isotonic
from storage.head_files.head_file import head_set_path, read_head_file
from storage.paths import objects_path
from storage.split.object_table import write_objects
from storage.split.split_cells import SplitCells
from tests.fixtures.made_up_objects import object_table
from tests.fixtures.mini import MODELS, OBJECTIVES
from tests.fixtures.signatures import open_train
from tests.fixtures.train_split import PER_IMAGE, SPLIT, write_features, write_params
from tests.golden.golden import Arrays, Golden, off_by

KINDS: Final = ("paper", "ours")
N_OBJECTS: Final = 32
N_CHANNELS: Final = 6

PLAN: Final = {"epochs": 8, "batch_size": 32, "learning_rate": 0.05, "momentum": 0.8}
"""Plan of the paper's heads, long enough for a change of the weight decay to show."""

SCORES: Final = np.linspace(0, 1, 33)

ATOL: Final = {"paper": 1e-4, "ours": 1e-5, ISOTONIC: 1e-9}
"""Tolerance of predictions and errors by kind of head; other instruction sets were off by 1e-7.
Weights are not compared.
"""


def draw_inputs() -> dict[str, np.ndarray]:
    """Features of all models; the first number of a token is the IoU of the best proposal."""
    rng = np.random.default_rng(0)
    size = (len(MODELS), N_OBJECTS, len(TRAIN_PROMPTS))
    iou = rng.random((*size, N_PROPOSALS), np.float32)
    token = rng.normal(size=(*size, 5, N_CHANNELS)).astype(np.float32)
    token[..., 0, 0] = iou.max(axis=-1)
    return {
        "iou": iou,
        "sam_score": np.clip(iou + rng.normal(0, 0.1, iou.shape), 0, 1).astype(np.float32),
        "iou_token": token[..., 0, :],
        "mask_token": token[..., 1:, :],
        **{name: rng.random((*size, N_PROPOSALS), np.float32) for name in MASK_STATISTICS},
    }


def compute(inputs: Arrays) -> dict[str, np.ndarray]:
    """Predictions and errors of the heads of every kind, protocol and token set.

    Arrays ``<protocol>/<kind>/<tokens>/<array>`` have a row per objective in the order of
    ``OBJECTIVES``; ``<judged>/isotonic/<model>`` has the calibrated IoUs of ``SCORES``.
    """
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        write_inputs(inputs)
        with pytest.MonkeyPatch.context() as patch:
            for objective in OBJECTIVES:
                patch.setattr(sys, "argv", ["tune", SPLIT, objective])
                tune.main()
            for kind in KINDS:
                patch.setattr(sys, "argv", ["train", SPLIT, kind])
                train.main()
        cells, (fitted, _) = open_train(SPLIT, MODELS), read_isotonic(SPLIT, KINDS[0], {})
        return {
            f"{head_set.protocol}/{head_set.kind}/{head_set.tokens}/{name}": values
            for head_set in head_sets(ABLATIONS, kinds=KINDS)
            for name, values in _results(head_set, cells).items()
        } | {
            f"{judged}/{ISOTONIC}/{model}": fitted[model][judged].iou_at(SCORES)
            for judged, model in product(JUDGED, MODELS)
        }


def write_inputs(inputs: Arrays) -> None:
    """Write the stores and settings that ``tune`` and ``train`` read."""
    about = {"split": SPLIT, "group": "image"}
    write_objects(objects_path(SPLIT), object_table(N_OBJECTS, PER_IMAGE), about)
    for i, model in enumerate(MODELS):
        arrays = {name: values[i] for name, values in inputs.items()}
        write_features(model, n_objects=N_OBJECTS, n_channels=N_CHANNELS, **arrays)
    write_params(heads=list(KINDS), ablations=list(ABLATIONS), **PLAN)


def _compare(name: str, golden: np.ndarray, values: np.ndarray) -> str | None:
    _, kind, *_ = name.split("/")
    return off_by(golden, values, ATOL[kind])


def _results(head_set: HeadSet, cells: SplitCells) -> dict[str, np.ndarray]:
    heads = read_head_file(head_set_path(SPLIT, head_set))
    data = read_head_data(cells, head_set)
    # Of one view, heads learn nothing of the image, whatever its statistics.
    image = np.ones((len(data.inputs), data.axes.n_statistics if data.axes else 0), np.float32)
    predictions = predict(heads.weights, np.concatenate([data.inputs, image], axis=1))
    names = head_set.objectives(MODELS)
    errors = [float(heads.metadata(name)["validation_mse"]) for name in names]
    return {
        "prediction": np.stack([predictions[name] for name in names]).astype(np.float32),
        "validation_mse": np.array(errors, np.float32),
    }


GOLDEN: Final = Golden("train", draw_inputs, compute, _compare)
