"""Stores of embeddings in every command: the same answers without encoding, or a refusal."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pipeline.predictor import UncertainPredictor
from stages.annotation.cvat import Interaction, create
from stages.annotation.label_studio import predictions
from stages.cli.app import app
from stages.predictor.loading import load_predictor
from storage.errors import StoreError
from tests.fixtures.stored_images import (
    refuse_to_encode,
    two_images,
    write_embeddings_of,
    write_images,
)
from usam_cache import open_embeddings, read_embedding


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images in a folder, their embeddings by tiny and large, a COCO file of their boxes."""
    folder = tmp_path_factory.mktemp("encoded")
    images = two_images()
    write_images(folder / "images", images)
    for model in ("tiny", "large"):
        write_embeddings_of(folder / f"{model}.zarr", folder / "images", images, model)
    height, width = images["scene.png"].shape[:2]
    coco = {
        "images": [
            {"id": i, "file_name": name, "height": height, "width": width}
            for i, name in enumerate(images, start=1)
        ],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "bbox": [80, 50, 80, 60]} for i in (1, 2)
        ],
        "categories": [{"id": 1, "name": "shape"}],
    }
    (folder / "prompts.json").write_text(json.dumps(coco))
    return folder


def answer(predictor: UncertainPredictor) -> dict[str, Any]:
    predictor.set_image(two_images()["turned/scene.png"])
    return predictor.predict_uncertainty([[120, 80]], [1]).to_dict()


def test_a_predictor_with_a_store_encodes_only_other_images(
    encoded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = answer(load_predictor("mini", "large"))
    places: list[str | Path] = [encoded / "large.zarr", str(encoded / "tiny.zarr")]
    both = load_predictor("mini", "large", embeddings=places)
    one = load_predictor("mini", "large", embeddings=places[0])
    assert expected["unlike_training"] is not None
    assert answer(one) == expected  # by the smallest model, from the pixels
    refuse_to_encode(monkeypatch)
    assert answer(both) == expected
    embeddings = open_embeddings(encoded / "large.zarr", {"model": "large"})
    both.set_embedding(read_embedding(embeddings, "turned/scene.png"))
    assert both.predict_uncertainty([[120, 80]], [1]).to_dict() == expected
    with pytest.raises(AssertionError, match="an image was encoded"):
        both.set_image(np.zeros((8, 8, 3), np.uint8))


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("entries", "difference"),
    [
        ({"weights": "0" * 64}, "weights: 000000000000 -> "),
        ({"precision": "bf16"}, "precision: bf16 -> fp32"),
        ({"model": "small"}, "model: small -> large"),
        ({"family": "sam2"}, "family: sam2 -> mini"),
        ({"embed_version": 0}, "embed_version: 0 -> 1"),
    ],
    ids=str,
)
def test_a_store_of_another_model_is_refused_by_name(
    entries: dict[str, Any], difference: str, encoded: Path, tmp_path: Path
) -> None:
    images = {"scene.png": two_images()["scene.png"]}
    settings: dict[str, Any] = {"model": "large", **entries}
    place = write_embeddings_of(tmp_path / "other.zarr", encoded / "images", images, **settings)
    with pytest.raises(StoreError, match=f"other.zarr was written under other.*{difference}"):
        load_predictor("mini", "large", embeddings=place)


def test_the_smallest_models_store_alone_is_refused_for_a_larger_model(encoded: Path) -> None:
    words = r"embeddings must be by the model large, got .*tiny\.zarr by tiny"
    with pytest.raises(StoreError, match=words):
        load_predictor("mini", "large", embeddings=encoded / "tiny.zarr")


def test_a_damaged_embedding_is_named_and_not_answered(encoded: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(encoded / "tiny.zarr", tmp_path / "tiny.zarr"))
    predictor = load_predictor("mini", "tiny", embeddings=place)
    (shard,) = (place / "image_embedding").glob("c*")
    data = bytearray(shard.read_bytes())
    data[len(data) // 4] ^= 1
    shard.write_bytes(data)
    with pytest.raises(StoreError, match=r"tiny\.zarr"):
        predictor.set_image_batch([*two_images().values()])


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_commands_take_embeddings(
    encoded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = encoded / "images" / "scene.png"
    prompts = encoded / "images", encoded / "prompts.json"
    click = "predict", image, "--click", "120,80", "--json"
    large = "--family", "mini", "--model", "large"
    expected = run(*click, *large)
    run("predict-coco", *prompts, tmp_path / "expected.json", *large)
    review = "review", prompts[1], "--images", prompts[0], "--export"
    expected_review = tmp_path / "expected_review.json"
    run(*review, expected_review, "--out", tmp_path / "encoded", *large)
    refuse_to_encode(monkeypatch)
    places = "--embeddings", encoded / "large.zarr", "--embeddings", encoded / "tiny.zarr"
    assert run(*click, *places) == expected  # the first store says the model
    run("predict-coco", *prompts, tmp_path / "results.json", *places)
    assert (tmp_path / "results.json").read_bytes() == (tmp_path / "expected.json").read_bytes()
    run(*review, tmp_path / "review.json", "--out", tmp_path / "stored", *places)
    assert (tmp_path / "review.json").read_bytes() == expected_review.read_bytes()


def test_annotation_tools_take_embeddings(encoded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = str(encoded / "tiny.zarr")
    interaction = create(embeddings=place)
    assert isinstance(interaction, Interaction)
    predictor = load_predictor("mini", "tiny", embeddings=place)
    refuse_to_encode(monkeypatch)
    image = encoded / "images" / "scene.png"
    with Image.open(image) as opened:
        interaction.preprocess_image(None, opened)
    mark = {
        "type": "keypointlabels",
        "value": {"x": 45, "y": 40, "keypointlabels": ["shape"]},
    }
    (prediction,) = predictions(
        predictor,
        image,
        {"result": [mark]},
        from_name="brush",
        to_name="image",
    )
    assert prediction["score"] > 0
