"""CVAT's functions: what its own types and driver take, and what the predictor says."""

import argparse
import inspect
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from cvat_cli._internal.agent import get_function_driver_class
from cvat_cli._internal.agent_driver import set_worker_current_function
from cvat_cli._internal.agent_driver_interaction import AgentInteractionFunctionDriver
from cvat_cli._internal.commands_all import COMMANDS as CVAT_COMMANDS
from cvat_cli._internal.common import FunctionLoader
from cvat_sdk import auto_annotation, models
from cvat_sdk.api_client import ApiClient
from cvat_sdk.auto_annotation.driver import _AnnotationMapper  # what annotate_task checks by
from cvat_sdk.masks import decode_mask
from PIL import Image

from pipeline.predictor import UncertainMaskGenerator, Uncertainty, coco_masks
from stages.annotation.cvat import create
from stages.predictor.loading import load_predictor
from stages.review.export import export_queue
from stages.settings.parsing import ParamsError
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.predictors import NO_BEST, built_mini, drawn, write_random_heads
from tests.fixtures.reviews import written_queue

PAGE = (ROOT / "docs" / "annotate.md").read_text("utf-8").replace("\\\n", " ")

COMMANDS = re.findall(r"^cvat-cli (.+)$", PAGE, re.MULTILINE)

GRID = {"points_per_side": 8, "min_score": 0.4, "min_stability": 0.6}


def created(**parameters: Any) -> Any:  # noqa: ANN401
    """The function, as ``cvat-cli`` loads it."""
    return FunctionLoader("stages.annotation.cvat", None, parameters).load()


def decoded(points: list[float]) -> np.ndarray:
    height, width = drawn().shape[:2]
    return np.asarray(decode_mask(points, image_width=width, image_height=height))


class Agent(AgentInteractionFunctionDriver):  # type: ignore[misc] # CVAT ships no types
    """That of ``cvat-cli function run-agent``, in this process and with a task of two frames."""

    def __init__(self, **parameters: Any) -> None:  # noqa: ANN401
        function = created(**parameters)
        assert get_function_driver_class(function.spec) is AgentInteractionFunctionDriver
        super().__init__(None, self, function.spec)
        set_worker_current_function(function)
        self.init_worker(None)
        self.frames = [Image.fromarray(drawn()).convert("RGBA").rotate(turn) for turn in (0, 180)]

    def submit(self, job: Callable[..., Any], *given: Any) -> Any:  # noqa: ANN401
        return job(*given)

    def result(self, done: Any) -> Any:  # noqa: ANN401
        return done

    def _get_sample_from_ar_params(self, request: dict[str, Any]) -> Any:  # noqa: ANN401
        media = SimpleNamespace(load_image=lambda: self.frames[request["frame"]])
        return SimpleNamespace(media=media), []

    def answer(self, frame: int = 0, **prompts: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        """The shapes that are sent to CVAT for a prompt."""
        none: dict[str, Any] = {"pos_points": [], "neg_points": [], "obj_bbox": []}
        request = {"type": "interact", "task": 1, "frame": frame, **none, **prompts}
        found = self.calculate_result_for_ar(request, check_in=None)
        return list(ApiClient().sanitize_for_serialization(found)["shapes"])


@pytest.fixture
def agent() -> Agent:
    """The agent of clicks and boxes."""
    return Agent()


def test_cvat_runs_an_agent_for_what_it_created(agent: Agent) -> None:
    fields = agent.get_remote_function_fields(created().spec)
    assert fields == {"min_pos_points": 0, "min_neg_points": 0, "startswith_box_optional": True}
    agent.validate_function_compatibility({"startswith_box": False, **fields})


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"pos_points": [(120, 80)]}, {"point_coords": [[120, 80]], "point_labels": [1]}),
        (
            {"pos_points": [(120, 80)], "neg_points": [(30, 150)]},
            {"point_coords": [[120, 80], [30, 150]], "point_labels": [1, 0]},
        ),
        ({"obj_bbox": [(40, 30), (200, 150)]}, {"box": [40, 30, 200, 150]}),
    ],
    ids=["click", "background", "box"],
)
def test_a_prompt_gets_the_selected_mask_with_its_expected_iou(
    agent: Agent, given: dict[str, Any], asked: dict[str, Any]
) -> None:
    (shape,) = agent.answer(**given)
    found = predicted(**asked)
    assert shape["type"] == "mask"
    np.testing.assert_array_equal(decoded(shape["points"]), found.masks[found.selected])
    (confidence,) = shape["attributes"]
    assert confidence["spec_id"] == auto_annotation.InteractionResultAttributes.CONFIDENCE
    own = found.expected_iou.own[found.selected]
    assert float(confidence["value"]) == pytest.approx(own, abs=1e-4)


def test_the_best_mask_is_the_one_that_the_heads_choose() -> None:
    (shape,) = Agent(family="mini", masks="best").answer(pos_points=[(180, 90)])
    found = predicted("mini", point_coords=[[180, 90]], point_labels=[1])
    assert found.choice is not None
    assert not found.choice.is_own_mask(found.selected)
    np.testing.assert_array_equal(decoded(shape["points"]), found.choice.mask)
    (confidence,) = shape["attributes"]
    assert float(confidence["value"]) == pytest.approx(found.choice.expected_iou, abs=1e-4)


def test_without_heads_confidence_is_samscore_times_stability(tmp_path: Path) -> None:
    weights = str(tmp_path / "mine.pt")
    torch.save({name: 1.01 * value for name, value in built_mini().state_dict().items()}, weights)
    found = predicted("mini", weights=weights, point_coords=[[120, 80]], point_labels=[1])
    (shape,) = Agent(family="mini", weights=weights).answer(pos_points=[(120, 80)])
    (confidence,) = shape["attributes"]
    score = found.sam_score[found.selected] * found.stability[found.selected]
    assert float(confidence["value"]) == pytest.approx(score, abs=1e-4)
    everything = created(family="mini", weights=weights, everything="shape", **GRID)
    least = SimpleNamespace(conf_threshold=0.3, conv_mask_to_poly=False)
    shapes = everything.detect(least, Image.fromarray(drawn()))
    assert shapes
    assert all(shape.score >= 0.3 for shape in shapes)


def predicted(
    family: str = "mini-photos",
    weights: str | None = None,
    **asked: Any,  # noqa: ANN401
) -> Uncertainty:
    predictor = load_predictor(family, "tiny", weights=weights)
    predictor.set_image(drawn())
    return predictor.predict_uncertainty(**asked)


def test_two_images_are_encoded_apart(agent: Agent) -> None:
    first, other, again = (agent.answer(frame, pos_points=[(120, 80)]) for frame in (0, 1, 0))
    assert first == again != other


@pytest.fixture
def detection() -> Any:  # noqa: ANN401
    """The function for everything, on a grid that takes a second."""
    return created(everything="cell", **GRID)


def detected(function: Any, **context: Any) -> list[models.LabeledShapeRequest]:  # noqa: ANN401
    """Shapes, once CVAT's driver has checked them for a task with that label."""
    given = SimpleNamespace(conf_threshold=None, conv_mask_to_poly=False)
    vars(given).update(context)
    shapes = function.detect(given, Image.fromarray(drawn()))
    kind = "polygon" if given.conv_mask_to_poly else "mask"
    label = models.Label(name="cell", id=77, attributes=[], sublabels=[], type=kind)
    mapper = _AnnotationMapper(
        SimpleNamespace(),
        function.spec.labels,
        [label],
        allow_unmatched_labels=False,
        conv_mask_to_poly=given.conv_mask_to_poly,
    )
    mapper.validate_and_remap(shapes, 5)
    assert {(one.label_id, one.frame, one.type.value) for one in shapes} == {(77, 5, kind)}
    return list(shapes)


@pytest.mark.no_cover
def test_everything_is_found_with_its_expected_iou(detection: Any) -> None:  # noqa: ANN401
    options: dict[str, Any] = {
        "points_per_side": 8,
        "pred_iou_thresh": 0.4,
        "stability_score_thresh": 0.6,
    }
    generator = UncertainMaskGenerator(load_predictor("mini-photos", "tiny"), **options)
    records = generator.generate(drawn())
    shapes = detected(detection)
    assert len(shapes) == len(records) > 3
    for shape, record in zip(shapes, records, strict=True):
        np.testing.assert_array_equal(decoded(shape.points), record["segmentation"])
        assert shape.score == pytest.approx(record["expected_iou"]["own"])
    middle = float(np.median([shape.score for shape in shapes]))
    kept = detected(detection, conf_threshold=middle)
    assert [one.score for one in kept] == [one.score for one in shapes if one.score >= middle]
    assert len(kept) < len(shapes)


def test_polygons_are_outlines_of_the_masks(detection: Any) -> None:  # noqa: ANN401
    outlines = [
        (outline, shape.score)
        for shape in detected(detection)
        for outline in coco_masks.polygons(decoded(shape.points))
    ]
    shapes = detected(detection, conv_mask_to_poly=True)
    assert [(shape.points, shape.score) for shape in shapes] == outlines


def parsed(command: str) -> dict[str, Any]:
    """Arguments of ``cvat-cli``."""
    parser = argparse.ArgumentParser()
    CVAT_COMMANDS.configure_parser(parser)
    return vars(parser.parse_args(shlex.split(command)))


@pytest.mark.parametrize("command", [c for c in COMMANDS if "function-module" in c])
def test_cvat_takes_the_commands_of_the_docs(command: str) -> None:
    loader = parsed(command)
    parameters = loader["function_parameters"] or {}
    assert loader["function_module"] == "stages.annotation.cvat"
    assert set(parameters) <= set(inspect.signature(create).parameters)


def test_a_task_of_the_queue_has_the_images_in_its_order_and_the_attributes_of_its_masks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (labels,) = re.findall(r"^```json\n(.+?)^```", PAGE, re.DOTALL | re.MULTILINE)
    Path("labels.json").write_text(labels, "utf-8")
    queue = written_queue(tmp_path, [0.9], [0.5])
    export_queue(Path("queue.xml"), queue, "cvat")
    (names,) = re.findall(r"^mapfile -t images < <\((.+)\)$", PAGE, re.MULTILINE)
    listed = subprocess.run(names, shell=True, capture_output=True, text=True, check=True)  # noqa: S602 - that of the docs
    assert listed.stdout.split() == ["/data/photos/2.png", "/data/photos/1.png"]
    (command,) = [command for command in COMMANDS if "task create" in command]
    task = parsed(command)
    assert (task["sorting_method"], task["annotation_format"]) == ("predefined", "CVAT 1.1")
    (label,) = task["labels"]
    written = Path("queue.xml").read_text("utf-8")
    for attribute in label["attributes"]:
        assert f'<attribute name="{attribute["name"]}"' in written
    models.PatchedLabelRequest(**label)


def test_heads_are_taken_under_their_own_protocol_and_give_no_best_mask_if_they_choose_none(
    tmp_path: Path,
) -> None:
    path = tmp_path / "best.safetensors"
    write_random_heads(path, protocol="best")
    assert created(heads=str(path)).predictor.heads.head_set.protocol == "best"
    with pytest.raises(ParamsError, match=NO_BEST):
        created(heads=str(path), masks="best")


def test_settings_of_the_grid_without_it_are_refused() -> None:
    with pytest.raises(
        ParamsError, match=r"^min-score must come with everything, got 0\.5 without"
    ):
        created(min_score=0.5)
