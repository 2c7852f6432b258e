"""Converts the heads that the authors of UncertainSAM publish to a head file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.heads.kinds import HeadSet
from pipeline.heads.predict import HIDDEN, check_head
from pipeline.sam.families import models_of
from stages.settings.versions import VERSIONS
from storage.checkpoints.weights import checkpoints
from storage.errors import WeightsError
from storage.head_files.head_file import HeadFile, pack_heads
from storage.store.signature import head_version

HEAD_SET: Final = HeadSet("best", "best")
"""Head set of the published heads: they learned about the best proposal, from its tokens."""

THEIR_NAMES: Final[Mapping[str, str]] = {
    name: {"iou_refined": "iou_dense_prompt", "iou_selected": "iou_unsupervised"}.get(name, name)
    for name in HEAD_SET.objectives(models_of("sam2"))
}
"""Objective of a head -> folder of the authors' file ``model.pth`` for it."""


def read_published(folder: Path, family: str) -> HeadFile:
    """Read the nine heads of UncertainSAM's authors for a family, without running their pickles.

    Parameters
    ----------
    folder
        Folder with a file ``<name>/model.pth`` per head; ``THEIR_NAMES`` lists the names.
    family
        Family whose features in fp32 the heads learned from; the files do not name it.

    Notes
    -----
    The authors' code pairs proposal k with mask token k, not k + 1, in training and in use. The
    entry ``first_mask_token`` of the card makes a predictor with these heads do the same.
    """
    weights = {
        objective: _read(folder / name / "model.pth", objective)
        for objective, name in THEIR_NAMES.items()
    }
    digests = {row.model: row.sha256 or "not listed" for row in checkpoints(family)}
    card = {
        "family": family,
        "precision": "fp32",
        "extract_version": head_version(VERSIONS["extract"]),
        "split": "published",
        **HEAD_SET.card,
        "first_mask_token": "0",
        "n_channels": str(weights["iou_tiny"]["layers.0.weight"].shape[1] // 2),
        **{f"weights_{model}": sha256 for model, sha256 in digests.items()},
    }
    return pack_heads(weights, dict.fromkeys(weights, card))


def _read(path: Path, objective: str) -> dict[str, np.ndarray]:
    # Imported late: torch takes seconds, which `usam heads --help` need not wait.
    from stages.extraction.models import read_weights  # noqa: PLC0415

    try:
        tensors = read_weights(path, "a head")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise WeightsError(f"published heads must have {path}, got no such file") from error
    try:
        head = {name: tensor.float().numpy() for name, tensor in tensors.items()}
        check_head(objective, head)
    except (ValueError, TypeError) as error:  # PyTorch's for a sparse tensor is the second
        raise WeightsError(f"{path} must hold the tensors of a head, got: {error}") from error
    hidden = len(head["layers.0.bias"])
    if hidden != HIDDEN:
        raise WeightsError(f"{path} must be {HIDDEN} wide, got {hidden}")
    return head
