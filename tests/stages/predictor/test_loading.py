"""Which heads a predictor takes, which it refuses, and what comes with the package."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sam2.build_sam import HF_MODEL_ID_TO_FILENAMES

from pipeline.predictor import UncertainPredictor
from pipeline.prompts import central_error
from pipeline.sam.building import build
from pipeline.scenes.scene import DEMO_SEED, DEMO_SIZE_PX, draw_scene, scene_seeds
from stages.extraction import models
from stages.predictor.loading import PRETRAINED, from_pretrained, load_predictor
from stages.predictor.model_choice import OF_USERS
from stages.settings.parsing import ParamsError
from stages.settings.versions import VERSIONS
from storage.checkpoints.weights import checkpoint
from storage.errors import DataError, WeightsError
from storage.head_files.guarantees import CHOICES, evidence_of
from storage.head_files.head_file import read_head_file, shipped_heads
from storage.store.signature import head_version
from tests.fixtures.mini import MODELS
from tests.fixtures.predictors import drawn, write_random_heads

CLICK = ([[120.0, 80.5]], [1])


@pytest.mark.parametrize("model", MODELS)
def test_mini_models_load_with_the_heads_that_ship(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    predictor = load_predictor("mini", model)
    assert isinstance(predictor, UncertainPredictor)
    assert (predictor.sam.image_size_px, predictor.sam.precision) == (256, "fp32")
    predictor.set_image(drawn())
    found = predictor.predict_uncertainty(*CLICK)
    own = found.expected_iou.models[model]
    np.testing.assert_array_equal(found.expected_iou.own, own)
    # Trained heads say different things of different proposals.
    assert np.ptp(own) > 0.01
    assert ((own > 0) & (own < 1)).all()
    assert list(tmp_path.iterdir()) == []


def test_without_a_name_the_smallest_model_for_photographs_answers_and_says_so() -> None:
    predictor = load_predictor()
    predictor.set_image(drawn())
    found = predictor.predict_uncertainty(*CLICK)
    assert (found.family, found.model) == ("mini-photos", "tiny")
    assert load_predictor(model="large").heads.model == "large"


def test_a_box_and_clicks_where_the_mask_is_wrong_bring_it_to_the_object() -> None:
    # At the upper edge, where a click takes another object with it.
    drawn_scene = draw_scene(scene_seeds(DEMO_SEED, "val", 10)[-1], DEMO_SIZE_PX)
    target = drawn_scene.masks[5]
    predictor = load_predictor("mini", "tiny")
    predictor.set_image(drawn_scene.rgb)

    def answered(**prompt: Any) -> tuple[float, np.ndarray]:  # noqa: ANN401 - of the predictor
        found = predictor.predict_uncertainty(**prompt)
        mask = found.masks[found.selected]
        return float((mask & target).sum() / (mask | target).sum()), mask

    clicks, labels = [[115.0, 13.0]], [1]
    clicked, mask = answered(point_coords=clicks, point_labels=labels)
    rows, columns = np.nonzero(target)
    corners = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    boxed, _ = answered(box=corners)
    assert boxed > clicked + 0.1
    for _ in range(5):
        x, y = central_error(mask, target)
        clicks.append([x + 0.5, y + 0.5])
        labels.append(int(target[y, x]))
        corrected, mask = answered(point_coords=clicks, point_labels=labels)
    assert corrected > clicked + 0.2


def test_the_card_of_the_heads_that_ship_says_what_they_are() -> None:
    found = read_head_file(shipped_heads())
    card = found.card
    assert (card["family"], card["protocol"], card["split"]) == ("mini", "selected", "shapes_train")
    assert card["extract_version"] == head_version(VERSIONS["extract"])
    assert int(card["n_objects"]) > 1000
    for model in MODELS:
        assert card[f"weights_{model}"] == checkpoint("mini", model).sha256
    assert set(found.by_objective) == set(OF_USERS.objectives(MODELS))
    assert {choice.prompt for choice in evidence_of(card, CHOICES)} == set(card["prompts"].split())
    for told in found.by_objective.values():
        assert 0 < float(told["validation_mse"]) < 0.1


REFUSED = [
    ({"family": "sam2"}, r"family \(sam2 -> mini\)"),
    ({"extract_version": "1"}, rf"extract_version \(1 -> {head_version(VERSIONS['extract'])}\)"),
    ({"weights_tiny": "0" * 64}, r"weights_tiny \(0{64} -> [0-9a-f]{64}\)"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_heads_that_learned_from_something_else_are_refused_by_name_or_warned_of(
    changes: dict[str, str], message: str, tmp_path: Path
) -> None:
    path = write_random_heads(tmp_path / "heads.safetensors", changes=changes)
    whole = rf"heads in {re.escape(str(path))} must have learned from the same features: {message}$"
    with pytest.raises(DataError, match=whole):
        load_predictor("mini", "tiny", heads=path)
    with pytest.warns(UserWarning, match=whole):
        load_predictor("mini", "tiny", heads=str(path), strict=False)


def test_heads_of_either_protocol_are_loaded_and_name_it(tmp_path: Path) -> None:
    path = write_random_heads(tmp_path / "heads.safetensors", protocol="best")
    head_set = load_predictor("mini", "tiny", heads=path).heads.head_set
    assert head_set is not None
    assert head_set.protocol == "best"


def test_heads_of_another_precision_are_refused_and_taken_as_the_default(tmp_path: Path) -> None:
    path = write_random_heads(tmp_path / "heads.safetensors", changes={"precision": "bf16"})
    with pytest.raises(DataError, match=r"precision \(bf16 -> fp32\)"):
        load_predictor("mini", "tiny", heads=path, precision="fp32")
    assert load_predictor("mini", "tiny", heads=path).sam.precision == "bf16"


@pytest.mark.parametrize(
    ("n_channels", "changes", "message"),
    [
        (32, {}, r"n_channels \(32 -> 64\)"),
        (64, {"kind": "ensemble"}, "got ensemble: export others by "),
        (64, {"tokens": "sam2.1/selected"}, "must be a token set, got 'sam2.1/selected'"),
    ],
    ids=["width", "kind", "tokens"],
)
def test_heads_that_fit_no_such_model_are_refused_even_with_a_warning(
    n_channels: int, changes: dict[str, str], message: str, tmp_path: Path
) -> None:
    path = write_random_heads(tmp_path / "a.safetensors", n_channels=n_channels, changes=changes)
    with pytest.raises((DataError, WeightsError), match=message):
        load_predictor("mini", "tiny", heads=path, strict=False)


def test_names_on_hugging_face_are_those_of_the_official_package() -> None:
    configs = {model_id: config for model_id, (config, _) in HF_MODEL_ID_TO_FILENAMES.items()}
    assert {name: checkpoint(*own).config for name, own in PRETRAINED.items()} == configs


def test_a_name_on_hugging_face_loads_the_weights_that_are_here_or_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    weights = checkpoint("sam2.1", "tiny")
    changes = {"family": "sam2.1", "weights_tiny": str(weights.sha256)}
    path = write_random_heads(tmp_path / "a.safetensors", n_channels=256, changes=changes)
    options: dict[str, Any] = {"heads": path, "device": "cpu"}
    with pytest.raises(WeightsError, match=r"run usam checkpoints fetch sam2\.1 --model tiny"):
        from_pretrained("facebook/sam2.1-hiera-tiny", **options)
    built = build("sam2.1", "tiny", seed=0)
    torch.save({"model": built.state_dict()}, tmp_path / "tiny.pt")
    verified = (tmp_path / "tiny.pt", "")
    monkeypatch.setattr(models, "verified_weights", lambda *_: verified)
    predictor = from_pretrained("facebook/sam2.1-hiera-tiny", **options)
    assert (predictor.heads.model, predictor.sam.image_size_px) == ("tiny", 1024)
    own = predictor.model.state_dict()
    assert all(torch.equal(own[name], value) for name, value in built.state_dict().items())


@pytest.mark.parametrize(
    ("family", "model", "message"),
    [
        ("maxi", "tiny", "family must be one of mini, mini-photos, .*, got 'maxi'"),
        ("mini", "huge", "model must be one of tiny, small, base_plus, large, got 'huge'"),
    ],
)
def test_an_unknown_name_is_refused(family: str, model: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        load_predictor(family, model)


def test_a_family_without_weights_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=r"run usam checkpoints fetch sam2\.1 --model large"):
        load_predictor("sam2.1", "large")
    weights = str(checkpoint("sam2.1", "large").sha256)
    changes = {"family": "sam2.1", "weights_large": weights}
    path = write_random_heads(tmp_path / "a.safetensors", changes=changes)
    with pytest.raises(WeightsError, match=r"run usam checkpoints fetch sam2\.1 --model large"):
        load_predictor("sam2.1", "large", heads=path)
