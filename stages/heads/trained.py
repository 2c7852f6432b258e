"""Trained heads and their learning curves, as they lie in ``heads/<train split>``."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from pipeline.head_sets import HeadSet
from pipeline.heads.predict import HeadWeights
from pipeline.heads.training import TrainedHead
from pipeline.vocabulary import PROTOCOLS
from storage.folders import whole_folder
from storage.outputs.files import write_table
from storage.outputs.heads import head_path, write_head
from storage.paths import curves_path, protocol_dir


@dataclass(frozen=True)
class KeptHead:
    """A head that learned from all images, and how one that learned from four fifths performed."""

    objective: str
    weights: HeadWeights
    metadata: Mapping[str, str]
    validated: TrainedHead


def write_heads(split: str, trained: Mapping[HeadSet, Iterable[KeptHead]]) -> None:
    """Write the heads, those of a protocol all or none, and their learning curves."""
    for protocol in PROTOCOLS:
        with whole_folder(protocol_dir(split, protocol)) as folder:
            for head_set, heads in trained.items():
                if head_set.protocol == protocol:
                    _write_set(split, folder, head_set, heads)
    curves = [_curve(one, head) for one, heads in trained.items() for head in heads]
    write_table(curves_path(split), pd.concat(curves), float_format=None)


def _write_set(split: str, folder: Path, head_set: HeadSet, heads: Iterable[KeptHead]) -> None:
    for head in heads:
        path = head_path(split, head_set, head.objective)
        file = folder / path.relative_to(protocol_dir(split, head_set.protocol))
        write_head(file, head.weights, head.metadata)


def _curve(head_set: HeadSet, head: KeptHead) -> pd.DataFrame:
    found = head.validated
    return pd.DataFrame(
        {
            **asdict(head_set),
            "objective": head.objective,
            "epoch": range(1, len(found.train_mse) + 1),
            "train_mse": found.train_mse,
            "validation_mse": found.validation_mse,
        }
    )
