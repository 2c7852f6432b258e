"""State of a family's training on disk, from which a stopped run resumes."""

import hashlib
import pickle
from pathlib import Path
from typing import Any

import torch

from storage.errors import WeightsError
from storage.folders import whole_file
from tools.family.recipe import Recipe
from tools.family.training import RATED_WIDTH, TRUNK_READERS, Training, trunks


def recipe_signature(recipe: Recipe, step: int) -> str:
    """Digest of all numbers that some steps depend on: those of the phases that have begun, those
    that make the models, and the rules of learning rates.
    """
    numbers = (recipe.up_to(step), trunks(recipe.family), RATED_WIDTH, TRUNK_READERS)
    return hashlib.sha256(repr(numbers).encode()).hexdigest()


def save_state(path: Path, training: Training) -> None:
    """Write the state of a training; the file appears whole."""
    state = {
        "signature": recipe_signature(training.recipe, training.step),
        "training": training.state_dict(),
    }
    with whole_file(path) as partial:
        torch.save(state, partial)


def load_state(path: Path, training: Training) -> None:
    """Resume from a saved state, if there is one.

    Raises
    ------
    WeightsError
        If the state is from another recipe (naming both digests), or cannot be read.
    """
    if not path.exists():
        return
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
        saved = str(state["signature"])
        signature = recipe_signature(training.recipe, state["training"]["step"])
    except (RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise WeightsError(f"{path} must be a state of a training, got: {error}") from error
    if saved != signature:
        raise WeightsError(
            f"{path} must be of recipe {signature[:12]}, got {saved[:12]}: "
            "move it away to start over"
        )
    training.load_state_dict(state["training"])
