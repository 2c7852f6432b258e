"""Trained heads and their learning curves, as they lie in ``heads/<train split>``."""

from collections.abc import Mapping
from typing import Final

import pandas as pd

from pipeline.heads.training import TrainedHead
from storage.folders import whole_folder
from storage.outputs.heads import write_head
from storage.outputs.results import write_table
from storage.paths import head_path, heads_dir, tokens_dir

CURVES: Final = "curves.csv"

Heads = Mapping[str, tuple[TrainedHead, Mapping[str, str]]]
"""Objective -> a trained head and its metadata."""


def write_heads(split: str, trained: Mapping[str, Heads]) -> None:
    """Write the heads of each token set and their learning curves; ``best`` is the method's."""
    curves = {tokens: _curves(tokens, heads) for tokens, heads in trained.items()}
    write_table(heads_dir(split) / CURVES, curves["best"].drop(columns="tokens"), float_format=None)
    for objective, (head, metadata) in trained["best"].items():
        write_head(head_path(split, objective), head.weights, metadata)
    with whole_folder(tokens_dir(split)) as folder:
        others = {tokens: heads for tokens, heads in trained.items() if tokens != "best"}
        # Without rows, too, where there is no other set: DVC loses folders that hold nothing.
        table = pd.concat([curves[tokens] for tokens in others] or [curves["best"].iloc[:0]])
        write_table(folder / CURVES, table, float_format=None)
        for tokens, heads in others.items():
            for objective, (head, metadata) in heads.items():
                file = head_path(split, objective, tokens).relative_to(tokens_dir(split))
                write_head(folder / file, head.weights, metadata)


def _curves(tokens: str, heads: Heads) -> pd.DataFrame:
    return pd.concat(
        pd.DataFrame(
            {
                "tokens": tokens,
                "objective": objective,
                "epoch": range(1, len(head.train_mse) + 1),
                "train_mse": head.train_mse,
                "validation_mse": head.validation_mse,
            }
        )
        for objective, (head, _) in heads.items()
    )
