import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pipeline.heads.predict import STANDARD, check_head, predict


def draw_module(n_inputs: int = 6, hidden: int = 5) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(n_inputs, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, 1),
        nn.Sigmoid(),
    )


def head_of(module: nn.Sequential) -> dict[str, np.ndarray]:
    """Tensors of a module under the names of a head."""
    return {
        f"layers.{i // 2}.{part}": module.state_dict()[f"{i}.{part}"].numpy()
        for i in (0, 2, 4)
        for part in ("weight", "bias")
    }


def test_predictions_equal_those_of_torch() -> None:
    module = draw_module()
    inputs = np.random.default_rng(0).normal(0, 10, (30, 6)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(inputs))[:, 0].numpy()
    found = predict({"iou_tiny": head_of(module)}, inputs)
    assert list(found) == ["iou_tiny"]
    np.testing.assert_allclose(found["iou_tiny"], expected, atol=1e-6)


@given(scale=st.floats(0, 1e15), bias=st.sampled_from([-1e6, 0, 1e6]))
def test_predictions_of_any_finite_input_lie_between_0_and_1_without_a_warning(
    scale: float, bias: float
) -> None:
    inputs = np.float32(scale) * np.array([[1, -1, 2, -2, 3, -3]], np.float32)
    head = {**head_of(draw_module()), "layers.2.bias": np.array([bias], np.float32)}
    found = predict({"iou_tiny": head}, inputs)["iou_tiny"]
    assert ((found >= 0) & (found <= 1)).all()


def test_inputs_of_another_width_name_both_widths() -> None:
    with pytest.raises(ValueError, match=r"head iou_tiny must be 6 wide, got 8"):
        predict({"iou_tiny": head_of(draw_module())}, np.zeros((3, 8), np.float32))


MUST_BE = r"{} of head iou_tiny must be float32 of shape"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers.1.weight": np.zeros((5, 4), "f4")}, MUST_BE.format(r"layers\.1\.weight")),
        ({"layers.2.bias": np.zeros(2, "f4")}, MUST_BE.format(r"layers\.2\.bias")),
        (
            {STANDARD[0]: np.ones(6, "f4"), STANDARD[1]: np.ones(5, "f4")},
            MUST_BE.format(r"inputs\.scale") + r" \(6,\)",
        ),
        ({STANDARD[0]: np.ones(6, "f4")}, r"must hold inputs\.mean, inputs\.scale, .*, got inp"),
        ({"layers.9.bias": np.ones(1, "f4")}, r"must hold .*layers\.2\.weight, got .*layers\.9"),
    ],
    ids=["columns", "outputs", "scale", "no scale", "unknown"],
)
def test_tensors_that_do_not_fit_are_named(changes: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_head("iou_tiny", head_of(draw_module()) | changes)
