"""Tests check the types and the axes of all signatures."""

from dataclasses import dataclass

import beartype
import numpy as np
import pytest
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Float

from pipeline.heads.kinds import Hyperparameters
from pipeline.scoring.auc import correction_auc
from tests.fixtures.type_checks import check_types

Row = Float[np.ndarray, "n"]

checked = check_types(typechecker=beartype.beartype)


@checked
def first_half(x: Row, y: Row) -> Row:
    """Return another axis than that of the arguments."""
    return np.asarray((x + y)[: len(x) // 2])


@checked
@dataclass(frozen=True)
class Rows:
    """Arrays of one length."""

    x: Row
    y: Row


def test_axes_must_agree_in_arguments_results_and_fields() -> None:
    short, long = np.ones(2), np.ones(4)
    with pytest.raises(BeartypeCallHintViolation):
        first_half(short, long)
    with pytest.raises(BeartypeCallHintViolation):
        first_half(long, long)
    with pytest.raises(BeartypeCallHintViolation):
        Rows(short, long)
    Rows(short, short)
    Rows(long, long)


def test_functions_and_dataclasses_of_the_packages_are_checked() -> None:
    with pytest.raises(BeartypeCallHintViolation):
        correction_auc(np.ones(3), np.ones(3), np.ones(4))
    with pytest.raises(BeartypeCallHintViolation):
        Hyperparameters("5", 16, 3e-4, 0.5)  # type: ignore[arg-type]
