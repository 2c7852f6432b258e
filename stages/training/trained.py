"""Trained heads and their learning curves, as they lie in ``heads/<train split>``."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version

import numpy as np

from pipeline.heads.kinds import KINDS_BY_NAME, HeadKind, HeadSet
from pipeline.heads.predict import HeadWeights
from pipeline.heads.training import TrainedHead
from pipeline.result_rows import LEARNING_CURVES, LearningCurve
from pipeline.scoring.calibration import isotonic_iou
from pipeline.vocabulary import JUDGED, PROTOCOLS
from stages.settings.versions import version_entry
from stages.training.data import learned_prompts, origin_of
from stages.training.fit import FittedHeads
from storage.folders import whole_folder
from storage.head_files import head_file
from storage.outputs.tables import blocks_as_frame, write_table
from storage.outputs.tuning import Tuning
from storage.paths import curves_path, protocol_dir
from storage.split.split_cells import SplitCells

Tunings = Mapping[str, Tuning]
"""Choice of hyperparameters by objective."""


@dataclass(frozen=True)
class KeptHead:
    """A head that learned from all images, and how one that learned from four fifths performed."""

    objective: str
    weights: HeadWeights
    metadata: Mapping[str, str]
    validated: TrainedHead

    @property
    def error(self) -> float:
        """Validation error of the latter after the last epoch."""
        return float(self.validated.validation_mse[-1])


def kept_heads(
    cells: SplitCells, head_set: HeadSet, fitted: FittedHeads, tunings: Tunings, seed: int
) -> list[KeptHead]:
    """The heads of a set with their metadata."""
    split, kind = cells.split, KINDS_BY_NAME[head_set.kind]
    about = {"split": split, **head_set.card, "seed": str(seed), **origin_of(cells, head_set.reads)}
    if kind.learns_every_prompt:
        about[head_file.PROMPTS] = " ".join(learned_prompts(cells, head_set))
    about |= {key: str(number) for key, number in version_entry("train").items()}
    weights = {one.objective: head.weights for one, head in fitted.items() if one.is_kept}
    heads = []
    for one, validated in fitted.items():
        if not one.is_kept:
            error = float(validated.validation_mse[-1])
            metadata = about | _metadata(kind, one.objective, tunings[one.objective], error)
            heads.append(KeptHead(one.objective, weights[one.objective], metadata, validated))
    return heads


def write_heads(cells: SplitCells, trained: Mapping[HeadSet, Sequence[KeptHead]]) -> None:
    """Write the heads that learned from some cells, a file for each head set, those of a protocol
    all or none, their learning curves, and SamScores calibrated on the same cells.
    """
    split = cells.split
    about = {
        "n_objects": str(cells.table.n_objects),
        "n_images": str(len(cells.table.file)),
        "validated_on": f"a fifth of the images of {split}, by heads that learned from the rest",
        "usam_cache": version("usam-cache"),
    }
    for protocol in PROTOCOLS:
        with whole_folder(protocol_dir(split, protocol)) as folder:
            for head_set, heads in trained.items():
                if head_set.protocol == protocol:
                    place = head_file.head_set_path(split, head_set).relative_to(
                        protocol_dir(split, protocol)
                    )
                    packed = head_file.pack_heads(
                        {head.objective: head.weights for head in heads},
                        {head.objective: head.metadata for head in heads},
                        **about,
                    )
                    head_file.write_head_file(folder / place, packed)
    head_file.write_isotonic(split, calibration_of(cells), origin_of(cells))
    curves = [_curve(one, head) for one, heads in trained.items() for head in heads]
    write_table(curves_path(split), LEARNING_CURVES, blocks_as_frame(curves))


def calibration_of(cells: SplitCells) -> head_file.Calibration:
    """Isotonic regression of the IoU on the SamScore, of every model's judged masks."""
    scores = {model: cell.proposals() for model, cell in cells.identity.items()}
    return {
        model: {
            judged: isotonic_iou(found.judged_sam_score(judged), found.judged_iou(judged))
            for judged in JUDGED
        }
        for model, found in scores.items()
    }


def _curve(head_set: HeadSet, head: KeptHead) -> LearningCurve:
    found = head.validated
    return LearningCurve(
        **head_set.card,
        objective=head.objective,
        epoch=np.arange(1, len(found.train_mse) + 1),
        train_mse=found.train_mse,
        validation_mse=found.validation_mse,
    )


def _metadata(kind: HeadKind, objective: str, tuning: Tuning, mse: float) -> dict[str, str]:
    return {
        "schema": "1",
        "objective": objective,
        "inputs": " ".join(kind.inputs),
        "hidden": str(kind.hidden),
        # Neither differs any more, but without them the same head would have other bytes.
        "loss": "squared_error",
        "n_members": "1",
        "hyperparameters": json.dumps(asdict(kind.plan or tuning.plan)),
        "n_trials": str(0 if kind.plan else tuning.n_trials),
        "validation_mse": str(mse),
    }
