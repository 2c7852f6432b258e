"""Files of head sets: what comes back, and what is refused."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from pipeline.sam.families import EMBEDDED
from pipeline.scoring.calibration import isotonic_iou
from storage.errors import DataError, WeightsError
from storage.head_files.calibrated_scores import (
    Calibration,
    read_isotonic,
    write_isotonic,
)
from storage.head_files.guarantees import GATES, evidence_of
from storage.head_files.head_file import (
    HeadFile,
    check_card,
    family_heads,
    pack_heads,
    read_head_file,
    shipped_heads,
    write_head_file,
)
from storage.head_files.tensors import write_tensors
from storage.paths import isotonic_path
from tests.fixtures.predictors import GATE

RNG = np.random.default_rng(0)
WEIGHTS = {
    name: {
        "inputs.mean": 1000 + RNG.normal(size=4).astype(np.float32),
        "inputs.scale": np.ones(4, np.float32),
        "layers.0.weight": RNG.normal(size=(3, 4)).astype(np.float32),
        "layers.0.bias": np.zeros(3, np.float32),
        "layers.1.weight": RNG.normal(size=(3, 3)).astype(np.float32),
        "layers.1.bias": np.zeros(3, np.float32),
        "layers.2.weight": RNG.normal(size=(1, 3)).astype(np.float32),
        "layers.2.bias": np.zeros(1, np.float32),
    }
    for name in ("iou_tiny", "task_gap")
}
CARD = {
    "family": "mini",
    "precision": "fp32",
    "protocol": "selected",
    "tokens": "selected",
    "kind": "ours",
    "n_channels": "2",
    "weights_tiny": "12ab",
    "seed": "0",
}
METADATA = {
    name: {**CARD, "objective": name, "sha256": name, "mse": mse}
    for name, mse in (("iou_tiny", "0.1"), ("task_gap", "0.2"))
}


def packed() -> HeadFile:
    return pack_heads(WEIGHTS, METADATA, n_objects="7")


def test_heads_come_back_bit_by_bit_with_their_card(tmp_path: Path) -> None:
    write_head_file(tmp_path / "a.safetensors", packed())
    found = read_head_file(tmp_path / "a.safetensors")
    assert set(found.weights) == set(WEIGHTS)
    for objective, own in WEIGHTS.items():
        assert set(found.weights[objective]) == set(own)
        for name, tensor in own.items():
            np.testing.assert_array_equal(found.weights[objective][name], tensor)
    card = dict(found.card)
    assert len(card.pop("sha256")) == 64
    assert card.pop("objectives")
    assert card == {**CARD, "n_objects": "7"}
    assert found.by_objective == {"iou_tiny": {"mse": "0.1"}, "task_gap": {"mse": "0.2"}}


def test_half_precision_halves_the_matrices_and_reads_as_single(tmp_path: Path) -> None:
    full, half = tmp_path / "full.safetensors", tmp_path / "half.safetensors"
    write_head_file(full, packed())
    write_head_file(half, packed(), half=True)
    matrices = [one for own in WEIGHTS.values() for one in own.values() if one.ndim > 1]
    n_numbers = sum(one.size for one in matrices)
    assert full.stat().st_size - half.stat().st_size == pytest.approx(2 * n_numbers, abs=32)
    found = read_head_file(half).weights["iou_tiny"]
    assert {tensor.dtype for tensor in found.values()} == {np.dtype(np.float32)}
    weight, mean = (WEIGHTS["iou_tiny"][name] for name in ("layers.0.weight", "inputs.mean"))
    np.testing.assert_allclose(found["layers.0.weight"], weight, rtol=1e-3)
    assert (found["layers.0.weight"] != weight).all()
    np.testing.assert_array_equal(found["inputs.mean"], mean)


def test_heads_of_an_earlier_version_are_named_with_a_remedy(tmp_path: Path) -> None:
    old = {**WEIGHTS["iou_tiny"], "laplace.scale": np.ones(4, np.float32)}
    heads = pack_heads({**WEIGHTS, "iou_tiny": old}, METADATA)
    write_head_file(tmp_path / "old.safetensors", heads)
    message = (
        r"old\.safetensors: head iou_tiny must hold .*laplace\.scale, .*; train its heads again"
    )
    with pytest.raises(WeightsError, match=message):
        read_head_file(tmp_path / "old.safetensors")


@pytest.mark.parametrize("number", [np.nan, -np.inf])
def test_heads_with_a_number_that_is_none_are_refused(number: float, tmp_path: Path) -> None:
    broken = {**WEIGHTS["iou_tiny"], "layers.2.bias": np.full(1, number, np.float32)}
    write_head_file(tmp_path / "a", pack_heads({**WEIGHTS, "iou_tiny": broken}, METADATA))
    with pytest.raises(WeightsError, match=r"iou_tiny\.layers\.2\.bias in .* finite numbers, got"):
        read_head_file(tmp_path / "a")


def test_a_number_that_half_precision_cannot_hold_is_named(tmp_path: Path) -> None:
    large = {**WEIGHTS["iou_tiny"], "layers.0.weight": np.full((3, 4), -7e4, np.float32)}
    heads = pack_heads({**WEIGHTS, "iou_tiny": large}, METADATA)
    write_head_file(tmp_path / "full.safetensors", heads)
    message = r"^layers\.0\.weight of iou_tiny must be within 65504 .*, got 70000$"
    with pytest.raises(WeightsError, match=message):
        write_head_file(tmp_path / "half.safetensors", heads, half=True)


def test_a_single_head_is_no_file_of_nine(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a.safetensors", WEIGHTS["iou_tiny"], METADATA["iou_tiny"])
    with pytest.raises(
        WeightsError, match=r"must be of the stage train or `usam heads export`, got no"
    ):
        read_head_file(tmp_path / "a.safetensors")


def guarantee(**changes: object) -> dict[str, str]:
    """The entry of a card with one guarantee, some of whose fields are exchanged."""
    return {GATES: json.dumps([{**asdict(GATE), **changes}])}


SCOPE: Final = asdict(GATE.scope)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"family": "none"}, "family in the card of .* must be a family, got 'none'"),
        ({"protocol": ""}, "protocol .* must be best or selected, got ''"),
        ({"tokens": "a/b"}, "tokens .* must be a token set, got 'a/b'"),
        ({"n_channels": "9" * 400}, "n_channels .* must be a whole number, got '9"),
        ({"first_mask_token": "-1"}, "first_mask_token .* must be a whole number, got '-1'"),
        ({"prompts": "center swipe"}, "prompts .* must be prompt sets, got"),
        ({"objectives": "[" * 5000}, "objectives .* must be facts about iou_tiny, task_gap, got"),
        ({"objectives": '{"iou_tiny": {}}'}, "objectives .* must be facts about iou_tiny, task_g"),
        (
            {"gates": "{"},
            "gates in .*Invalid JSON.*: calibrate it again by `usam gate`",
        ),
        ({"gates": "[" * 5000}, "gates in a card must be as .*Invalid JSON"),
        ({"gates": "{}"}, "gates in a card must be as .* writes them, got {} at the top"),
        (
            {"choices": "[3]"},
            "choices in a card .* got 3 at 0 .*: train its heads again",
        ),
        (
            {"iou_errors": "[3]"},
            "iou_errors in a card .* got 3 at 0 .*: train its heads again",
        ),
        (guarantee(scope=None), "got None at 0.scope "),
        (guarantee(scope=SCOPE | {"more": 1}), r"got 1 at 0.scope.more \(Unexpected keyword"),
        (guarantee(scope=SCOPE | {"prompts": "center"}), "got 'center' at 0.scope.prompts "),
        (guarantee(scope={"protocol": "best"}), r"at 0.scope.prompts \(Field required\)"),
        (guarantee(more=1), r"got 1 at 0.more \(Unexpected keyword"),
        (guarantee(alpha="0.1"), "got '0.1' at 0.alpha "),
        (guarantee(alpha=True), "got True at 0.alpha "),
        (guarantee(threshold=float("nan")), r"got nan at 0.threshold \(Input should be a finite"),
        (guarantee(n_objects=1.5), "got 1.5 at 0.n_objects "),
        (guarantee(split=3), "got 3 at 0.split "),
        ({"weights_tiny": None}, "must name the weights of a model of its family, got none"),
        ({"kind": None}, "kind in the card of .* must be a name, got 'none'"),
    ],
)
def test_a_card_of_another_form_is_refused_in_a_line(
    entry: dict[str, str | None], message: str, tmp_path: Path
) -> None:
    card = {key: text for key, text in {**packed().card, **entry}.items() if text is not None}
    write_head_file(tmp_path / "a", HeadFile(WEIGHTS, card))
    with pytest.raises((WeightsError, DataError), match=message) as refused:
        read_head_file(tmp_path / "a")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 600


def test_guarantees_come_back_as_they_were_written() -> None:
    assert evidence_of(guarantee(), GATES) == (GATE,)
    assert evidence_of({}, GATES) == ()


def test_a_card_that_is_not_as_asked_is_refused_with_every_entry_that_differs() -> None:
    card = packed().card
    check_card(Path("a"), card, {"family": "mini", "seed": "0"})
    with pytest.raises(DataError) as refused:
        check_card(Path("a"), card, {"family": "sam2", "seed": "0", "width": "8"})
    assert str(refused.value) == (
        "heads in a must have learned from the same features: "
        "family (mini -> sam2), width (none -> 8)"
    )


def test_heads_ship_for_the_embedded_families_alone() -> None:
    shipped = {family_heads(family) for family in EMBEDDED}
    assert shipped == {*shipped_heads().parent.glob("*.safetensors")}
    assert family_heads("sam2") == Path("checkpoints/heads/sam2.safetensors")


ORIGIN = {"family": "mini", "features_digest": "12ab"}


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calibration:
    """What was fitted on the split ``train``, as it was before it was written."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    made = {
        model: {judged: isotonic_iou(*rng.random((2, 20))) for judged in ("best", "selected")}
        for model in ("tiny", "large")
    }
    path = isotonic_path("train", "ours")
    write_isotonic(path, "train", made, ORIGIN, fixed_cuts={"tiny": 0.4, "large": 0.5})
    return made


def test_what_is_read_is_what_was_written_to_the_last_bit(written: Calibration) -> None:
    found, fixed_cuts = read_isotonic("train", "ours", ORIGIN)
    assert fixed_cuts == {"tiny": 0.4, "large": 0.5}
    assert {model: list(of_model) for model, of_model in found.items()} == {
        "tiny": ["best", "selected"],
        "large": ["best", "selected"],
    }
    for model, judged in (("tiny", "best"), ("large", "selected")):
        for name, values in vars(written[model][judged]).items():
            np.testing.assert_array_equal(getattr(found[model][judged], name), values)


@pytest.mark.usefixtures("written")
def test_what_was_fitted_on_other_features_is_refused() -> None:
    with pytest.raises(
        DataError,
        match=r"same features: features_digest \(12ab -> 34cd\); `dvc repro train@train-ours`",
    ):
        read_isotonic("train", "ours", {**ORIGIN, "features_digest": "34cd"})
