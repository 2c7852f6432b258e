"""SAM 1 answers as ``segment_anything`` does with the same weights, on images of any shape."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from pipeline.embeddings import StoredEmbedding, level_names
from pipeline.extraction.predictions import Rows, arrays_for_heads, extract_objects, request_in
from pipeline.heads.kinds import KINDS_BY_NAME, HeadSet
from pipeline.heads.predict import n_inputs, set_inputs
from pipeline.masks import encode
from pipeline.predictor import PromptSet, ProposalHeads, UncertainPredictor
from pipeline.prompts import central_error, sample_prompts
from pipeline.sam.building import ArchitectureError, build, fit_weights
from pipeline.sam.families import models_of
from pipeline.sam.model import Precision, Sam
from pipeline.scenes.scene import draw_scene
from pipeline.views import VIEW_KINDS, View, apply_view, default_view, map_points, unview
from pipeline.vocabulary import PROMPTS
from stages.extraction.models import read_weights
from tests.fixtures.official import pycocotools_iou
from tests.fixtures.transformers_models import CHANNELS, ours

segment_anything = pytest.importorskip("segment_anything")

CPU: Final = torch.device("cpu")
SHAPES_PX: Final = {"wide": (97, 160), "high": (160, 113), "square": (160, 160)}
SCENE: Final = draw_scene(3, 160)
VIEWS: Final = [f"{kind.name}{3 if kind.named else ''}" for kind in VIEW_KINDS]
"""A view of every kind."""

BOX: Final = np.array([20.0, 30, 90, 80])
CLICKS: Final[dict[str, Any]] = {
    "point_coords": np.array([[60.0, 40], [30, 70]]),
    "point_labels": [1, 0],
}

PROMPT_SETS: Final[dict[str, dict[str, Any]]] = {
    "a click": {"point_coords": np.array([[60.0, 40]]), "point_labels": [1]},
    "clicks": CLICKS,
    "a box": {"box": BOX},
    "a box and clicks": {"box": BOX, **CLICKS},
    "nothing": {},
}


def segment_anything_model(model_name: str | None = None) -> nn.Module:
    """Their model of random weights, of a name or, by default, as small as ours in tests."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        build_theirs = segment_anything.sam_model_registry.get(model_name, _small)
        model = build_theirs().eval()
        for name, weight in model.named_parameters():
            if weight.ndim == 1 or "pos" in name:  # 0 or 1 at first: none would stand out
                nn.init.normal_(weight, mean=float(weight.detach().mean()), std=0.2)
    frozen: nn.Module = model.requires_grad_(requires_grad=False)
    return frozen


def _small() -> nn.Module:
    modeling, cells = segment_anything.modeling, (8, 8)
    small: nn.Module = modeling.Sam(
        modeling.ImageEncoderViT(
            img_size=128,
            embed_dim=32,
            depth=2,
            num_heads=2,
            out_chans=CHANNELS,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=3,
            global_attn_indexes=(1,),
        ),
        modeling.PromptEncoder(CHANNELS, cells, (128, 128), mask_in_chans=16),
        modeling.MaskDecoder(
            transformer_dim=CHANNELS,
            transformer=modeling.TwoWayTransformer(2, CHANNELS, 8, 2048),
        ),
    )
    return small


def predictor_of(theirs: nn.Module, model: str | None = None) -> UncertainPredictor:
    network = build("sam1", model, seed=1) if model else ours("sam1")
    fit_weights(network, theirs.state_dict(), source="sam_vit_b.pth")
    heads = ProposalHeads(
        "sam1", model or "vit_b", models_of("sam1"), None, {}, no_heads="there are none"
    )
    sam = Sam(network, device=CPU, precision="fp32")
    return UncertainPredictor(sam, heads, apply_postprocessing=False)


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    return segment_anything_model()


@pytest.fixture(scope="module")
def predictor(theirs: nn.Module) -> UncertainPredictor:
    return predictor_of(theirs)


def assert_same_answers(theirs: nn.Module, predictor: UncertainPredictor, rgb: np.ndarray) -> None:
    """Answers to all prompt sets agree: logits and scores within 1e-5, masks in every pixel."""
    official = segment_anything.SamPredictor(theirs)
    official.set_image(rgb)
    predictor.set_image(rgb)
    earlier = None
    for prompts in PROMPT_SETS.values():
        for multimask_output in (True, False):
            arguments = {**prompts, "mask_input": earlier, "multimask_output": multimask_output}
            expected = official.predict(**_arrays(arguments), return_logits=True)
            found = predictor.predict(**arguments, return_logits=True)
            for one, other, least in zip(found, expected, (-32, 0, -32), strict=True):
                np.testing.assert_allclose(one, other.clip(min=least), rtol=0, atol=1e-5)
            masks = predictor.predict(**arguments)[0] > 0
            assert ((masks == (expected[0] > 0)) | (abs(expected[0]) < 1e-5)).all()
            earlier = expected[2][:1] if earlier is None else None


def _arrays(arguments: dict[str, Any]) -> dict[str, Any]:
    labels = arguments.get("point_labels")
    return arguments if labels is None else arguments | {"point_labels": np.array(labels)}


@pytest.mark.no_cover
@pytest.mark.parametrize("shape", SHAPES_PX.values(), ids=SHAPES_PX)
def test_every_answer_is_that_of_segment_anything(
    theirs: nn.Module, predictor: UncertainPredictor, shape: tuple[int, int]
) -> None:
    assert_same_answers(theirs, predictor, SCENE.rgb[: shape[0], : shape[1]].copy())


@pytest.mark.full_size
@pytest.mark.parametrize("model", ["vit_b", "vit_l"])
def test_at_full_size_every_answer_is_that_of_segment_anything(model: str) -> None:
    theirs = segment_anything_model(model)
    predictor = predictor_of(theirs, model)
    for height, width in SHAPES_PX.values():
        assert_same_answers(theirs, predictor, draw_scene(3, 160).rgb[:height, :width].copy())


FILES: Final[dict[str, Callable[[dict[str, Tensor]], dict[str, Any]]]] = {
    "Meta's and MedSAM's": lambda weights: weights,
    "micro-sam's": lambda weights: {
        "model_state": {f"sam.{name}": weight for name, weight in weights.items()},
        "epoch": 3,
    },
}


@pytest.mark.parametrize("saved", FILES.values(), ids=FILES)
def test_weights_are_read_from_files_of_all_who_write_them(
    theirs: nn.Module, tmp_path: Path, saved: Callable[[dict[str, Tensor]], dict[str, Any]]
) -> None:
    expected, network = ours("sam1"), ours("sam1")
    fit_weights(expected, theirs.state_dict(), source="Meta's")
    path = tmp_path / "mine.pt"
    torch.save(saved(theirs.state_dict()), path)
    fit_weights(network, read_weights(path), source=str(path))
    for name, weight in expected.state_dict().items():
        assert torch.equal(weight, network.state_dict()[name]), name


def test_weights_of_sam_1_fit_no_other_family(theirs: nn.Module) -> None:
    for family in ("sam3", "sam2"):
        with pytest.raises(ArchitectureError, match="must fit the model's architecture, got no"):
            fit_weights(ours(family), theirs.state_dict(), source="sam_vit_b.pth")
    with pytest.raises(ArchitectureError, match="must fit the model's architecture, got no"):
        fit_weights(ours("sam1"), ours("sam3").state_dict(), source="model.safetensors")


@pytest.mark.full_size
def test_at_full_size_the_three_models_have_the_weights_of_segment_anything() -> None:
    with torch.device("meta"):
        for model, theirs in segment_anything.sam_model_registry.items():
            if model in models_of("sam1"):
                fit_weights(build("sam1", model, seed=0), theirs().state_dict(), source=model)


def test_prompt_sets_with_boxes_are_answered_as_alone(predictor: UncertainPredictor) -> None:
    predictor.set_image(SCENE.rgb[:97].copy())
    # Both kinds have two points, but only clicks are padded by a third.
    prompts = [PromptSet(**CLICKS), PromptSet(box=BOX), PromptSet(**CLICKS)]
    together = predictor.predict_uncertainties(prompts)
    for prompt_set, answer in zip(prompts, together, strict=True):
        (alone,) = predictor.predict_uncertainties([prompt_set])
        np.testing.assert_allclose(answer.logits, alone.logits, atol=1e-5)


def test_statistics_of_an_answer_are_of_the_image_without_its_padding(
    predictor: UncertainPredictor,
) -> None:
    rgb = SCENE.rgb[:48].copy()
    predictor.set_image(rgb)
    answer = predictor.predict_uncertainty(**PROMPT_SETS["a click"])
    logits = predictor.predict(**PROMPT_SETS["a click"], return_logits=True)[0]
    inside = torch.from_numpy(logits)[None].sigmoid()
    small = interpolate(inside, answer.probability.shape[1:], mode="area")[0]
    assert np.abs(answer.probability - small.numpy()).mean() < 0.01
    inner, outer = ((logits > cut).sum((1, 2)) for cut in (1, -1))
    np.testing.assert_allclose(answer.stability, inner / outer.clip(min=1), atol=0.02)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_restored_embedding_answers_with_the_same_bits(precision: Precision) -> None:
    sam = Sam(ours("sam1"), device=CPU, precision=precision)
    embedding = sam.encode(SCENE.rgb[:97].copy())
    again = sam.restore(StoredEmbedding(embedding.levels(), embedding.size_px, {}, ""))
    assert tuple(embedding.levels()) == level_names(precision)
    assert again.filled == embedding.filled == (128, 78, 128)
    points = np.array([[[60, 40]]], np.float32)
    assert torch.equal(sam.decode(again, points).logits, sam.decode(embedding, points).logits)


def test_images_of_floats_are_resized_as_those_of_bytes(predictor: UncertainPredictor) -> None:
    rgb = SCENE.rgb[:97].copy()
    one, other = (predictor.sam.square(x).pixels for x in (rgb, (rgb / 255).astype(np.float32)))
    torch.testing.assert_close(one, other, rtol=0, atol=1.1 / 255 / 0.224)


@pytest.mark.no_cover
@pytest.mark.parametrize("view", VIEWS)
def test_every_row_is_what_segment_anything_says_of_its_prompt_set(
    theirs: nn.Module, predictor: UncertainPredictor, view: str
) -> None:
    assert_same_rows(theirs, predictor.sam, default_view(view))


@pytest.mark.full_size
def test_at_full_size_every_row_is_what_segment_anything_says() -> None:
    theirs = segment_anything_model("vit_b")
    sam = predictor_of(theirs, "vit_b").sam
    for view in VIEWS:
        assert_same_rows(theirs, sam, default_view(view), n_objects=1)


def assert_same_rows(
    theirs: nn.Module, sam: Sam, view: View, *, n_objects: int | None = None
) -> None:
    """Rows of every kind of prompt set agree; both correct a mask three times."""
    rgb, truths = SCENE.rgb[:97].copy(), SCENE.masks[:, :97]
    truths = truths[truths.any((1, 2))][:n_objects]
    points = np.stack([sample_prompts(mask, i) for i, mask in enumerate(truths)])
    viewed = apply_view(rgb, view)
    request = request_in(view, points, truths, (*PROMPTS, "box", "corrected"))
    rows = extract_objects(sam, sam.encode(viewed), request, batch=16, with_masks=True)
    assert "object_score" not in rows
    official = segment_anything.SamPredictor(theirs)
    official.set_image(viewed)
    truths, points = request.ground_truth, request.points
    ask = partial(_said, official, request.view, truths.shape[1:])
    for i, truth in enumerate(truths):
        for j in range(len(PROMPTS)):
            clicks = points[i] if PROMPTS[j] == "refined" else points[i, j : j + 1]
            _assert_row(rows, (i, j), ask(clicks, np.ones(len(clicks), int)), truth)
        y, x = np.nonzero(truth)
        corners = np.array([[x.min(), y.min()], [x.max(), y.max()]])
        _assert_row(rows, (i, len(PROMPTS)), ask(corners, None), truth)
        clicks, labels = points[i, :1], np.ones(1, int)
        for _ in range(4):
            said = ask(clicks, labels)
            column, row = central_error(said[0][said[2].argmax()] > 0, truth)
            clicks = np.append(clicks, [[column, row]], axis=0)
            labels = np.append(labels, int(truth[row, column]))
        _assert_row(rows, (i, len(PROMPTS) + 1), said, truth)


def _said(
    official: Any,  # noqa: ANN401 - of a package without types
    view: View,
    size_px: tuple[int, int],
    points: np.ndarray,
    labels: np.ndarray | None,
) -> tuple[np.ndarray, Tensor, np.ndarray]:
    """Logits of the image at its size, and at low resolution, and scores; a box without labels."""
    points = map_points(points, view, height_px=size_px[0], width_px=size_px[1])
    if labels is None:
        _, scores, logits = official.predict(box=np.array([points.min(0), points.max(0)]).ravel())
    else:
        _, scores, logits = official.predict(points, labels)
    filled_px, low_res = official.input_size, torch.from_numpy(logits)[None]
    large, inside = (
        unview(official.model.postprocess_masks(low_res, filled_px, to_px), view)
        for to_px in (size_px, filled_px)
    )
    return large[0].numpy(), interpolate(inside, logits.shape[1:], mode="bilinear")[0], scores


def _assert_row(
    rows: Rows,
    at: tuple[int, int],
    said: tuple[np.ndarray, Tensor, np.ndarray],
    truth: np.ndarray,
) -> None:
    large, small, scores = said
    np.testing.assert_allclose(rows["sam_score"][at], scores.clip(min=0), atol=1e-5)
    np.testing.assert_allclose(rows["iou"][at], pycocotools_iou(large > 0, truth), atol=1e-3)
    p = small.double().sigmoid().numpy()
    assert np.abs(rows["mask_code"][at].astype(int) - encode(p)).max() <= 1
    np.testing.assert_allclose(rows["area"][at], p.mean((1, 2)), atol=1e-5)


@pytest.mark.parametrize("tokens", ["selected", "selected_no_statistics"])
@pytest.mark.parametrize("kind", KINDS_BY_NAME)
def test_heads_read_no_object_score(kind: str, tokens: str, predictor: UncertainPredictor) -> None:
    sam = predictor.sam
    decoded = sam.decode(sam.encode(SCENE.rgb), np.array([[[60, 40]]], np.float32))
    assert decoded.object_score is None
    of_kind = KINDS_BY_NAME[kind]
    inputs = set_inputs(arrays_for_heads(decoded, of_kind), HeadSet("selected", tokens, kind))
    width = n_inputs(of_kind, CHANNELS, has_object_score=sam.has_object_score)
    assert inputs.shape == (1, width)
    assert width == n_inputs(of_kind, CHANNELS) - ("figures" in of_kind.inputs)
