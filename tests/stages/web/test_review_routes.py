"""What the page of a review is answered: masks, decisions on the disk, and when to stop."""

import asyncio
import base64
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import numpy as np
import pytest
from PIL import Image

from stages.review.decisions import Decision
from stages.review.queue import ReviewQueue
from stages.review.sources import file_digests
from stages.web.page_state import PageState
from storage.datasets.object_records import ImageRecord
from storage.rle import decode_rle
from tests.fixtures.full_disk import full_after
from tests.fixtures.layouts import write_mp4
from tests.fixtures.predictors import drawn
from tests.fixtures.reviews import BOX, written_queue
from tests.fixtures.web_page import asked

OBJECT = {"number": 1, "clicks": [], "box": BOX, "proposal": 0}


@pytest.fixture(autouse=True)
def _scenes_again(page: PageState) -> Iterator[None]:
    """After a test, the page that all tests share has scenes again."""
    yield
    page.begin_review(None)


def responses(
    page: PageState, queue: ReviewQueue, *requests: tuple[str, str, Any]
) -> list[httpx.Response]:
    """Responses to requests (method, path below ``/api/review``, JSON), one after the other."""

    page.begin_review(queue)

    async def ask(client: httpx.AsyncClient) -> list[httpx.Response]:
        of_page = client.params.set("start", page.start)
        return [
            await client.request(method, f"/api/review{path}", json=content, params=of_page)
            for method, path, content in requests
        ]

    return asked(page, ask)


def test_a_mask_comes_with_its_image_prompt_numbers_and_neighbours(
    page: PageState, tmp_path: Path
) -> None:
    queue = written_queue(tmp_path, [0.9, 0.2], [0.5])
    mask, picture, absent = responses(
        page,
        queue,
        ("GET", "/masks/0", None),
        ("GET", "/masks/1/thumbnail", None),
        ("GET", "/masks/3", None),
    )
    shown = mask.json()
    assert (shown["file"], shown["sam_score"], shown["neighbours"]) == ("1.png", 0.8, [0, 1, 2])
    assert shown["prompt"] == {"clicks": [], "box": list(BOX)}
    assert shown["box_px"] == [60, 40, 100, 80]
    (proposal,) = shown["answer"]["proposals"]
    assert proposal["expected_iou"] == {"own": 0.2}
    png = Image.open(io.BytesIO(base64.b64decode(proposal["mask"])))
    assert png.size == (1024, 768)
    assert np.asarray(png.convert("RGBA"))[..., 3].mean() / 255 == pytest.approx(8000 / 49152)
    assert max(Image.open(io.BytesIO(picture.content)).size) == 128
    assert (absent.status_code, absent.json()) == (404, {"error": "mask must be in 0..2, got 3"})


def test_frames_of_a_video_are_shown(page: PageState, tmp_path: Path) -> None:
    queue = written_queue(tmp_path, [0.9])
    write_mp4(tmp_path / "images" / "a.mp4", [drawn()[::-1], drawn()])
    (image,) = queue.source.prompted
    frames = [replace(image, image=replace(image.image, file="a.mp4#00001"))]
    queue.source = replace(queue.source, prompted=frames)
    mask, picture = responses(
        page, queue, ("GET", "/masks/0", None), ("GET", "/masks/0/thumbnail", None)
    )
    assert (mask.json()["file"], picture.status_code) == ("a.mp4#00001", 200)
    shown = page.images.get(mask.json()["image"])
    assert shown is not None
    assert np.abs(shown.rgb.astype(int) - drawn()).mean() < 8  # the video loses some detail


@pytest.mark.parametrize(("file", "size_px"), [("a.ppm", (8, 8)), ("a.png", (8, 17_000))])
def test_an_image_that_the_page_refuses_as_an_upload_is_shown(
    file: str, size_px: tuple[int, int], page: PageState, tmp_path: Path
) -> None:
    queue = written_queue(tmp_path, [0.9])
    rgb = np.full((*size_px, 3), 90, np.uint8)
    Image.fromarray(rgb).save(tmp_path / "images" / file)
    (image,) = queue.source.prompted
    record = ImageRecord(file, *size_px)
    queue.source = replace(queue.source, prompted=[replace(image, image=record)])
    (mask,) = responses(page, queue, ("GET", "/masks/0", None))
    assert mask.status_code == 200, mask.text
    shown = page.images.get(mask.json()["image"])
    assert shown is not None
    np.testing.assert_array_equal(shown.rgb, rgb)


def test_thumbnails_that_are_asked_for_together_open_their_image_once(
    page: PageState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.begin_review(written_queue(tmp_path, [0.9, 0.5, 0.2]))
    read = Mock(wraps=page._read)
    monkeypatch.setattr(page, "_read", read)

    async def ask(client: httpx.AsyncClient) -> list[httpx.Response]:
        paths = [f"/api/review/masks/{rank}/thumbnail" for rank in range(3)]
        return await asyncio.gather(*map(client.get, paths))

    assert [picture.status_code for picture in asked(page, ask)] == [200] * 3
    assert read.call_count == 1


def test_decisions_are_on_the_disk_before_they_are_answered(
    page: PageState, tmp_path: Path
) -> None:
    queue = written_queue(tmp_path, [0.9, 0.2], [0.5, 0.4])
    replaced = {"decision": "replace", "object": OBJECT}
    clicked = {
        "decision": "replace",
        "object": OBJECT | {"clicks": [{"x": 120, "y": 80, "label": 1}], "proposal": 1},
    }
    first, second, third, last = responses(
        page,
        queue,
        ("POST", "/masks/0/decision", {"decision": "skip"}),
        ("POST", "/masks/1/decision", replaced),
        ("POST", "/masks/2/decision", clicked),
        ("POST", "/undo", None),
    )
    assert [first.json()["next"], second.json()["next"], third.json()["next"]] == [1, 2, 3]
    assert (third.json()["n_left"], third.json()["n_skipped"]) == (2, 1)
    assert (last.json()["next"], last.json()["n_left"]) == (2, 3)
    again = written_queue(tmp_path, [0.9, 0.2], [0.5, 0.4])
    decisions = [again.candidate(rank).decision for rank in range(4)]
    assert decisions[0] == Decision("skip")
    assert decisions[2:] == [None, None]
    proposal = decisions[1]
    assert proposal is not None
    assert proposal.decision == "proposal"
    assert proposal.segmentation is not None
    predictor = page.models.predictor(page.default_heads, page.model)
    rgb = np.asarray(Image.open(tmp_path / "images" / "2.png").convert("RGB"))
    predictor.set_image(rgb)
    uncertainty = predictor.predict_uncertainty(box=list(BOX))
    np.testing.assert_array_equal(
        decode_rle(proposal.segmentation["counts"], 192, 256), uncertainty.masks[0]
    )
    assert proposal.expected_iou == pytest.approx(uncertainty.expected_iou.own[0], abs=1e-5)


def test_the_mask_of_the_queue_itself_is_kept_not_replaced(page: PageState, tmp_path: Path) -> None:
    queue = written_queue(tmp_path, [0.5])
    replaced = {"decision": "replace", "object": OBJECT}
    responses(page, queue, ("POST", "/masks/0/decision", replaced))
    decision = queue.candidate(0).decision
    assert decision is not None
    assert decision.segmentation is not None
    candidate = queue.candidate(0)
    shown = replace(candidate, entry={**candidate.entry, "segmentation": decision.segmentation})
    queue.candidate = lambda rank: shown  # type: ignore[method-assign] # noqa: ARG005
    responses(page, queue, ("POST", "/masks/0/decision", replaced))
    assert [*queue._decisions] == [((1, 0), Decision("keep"))]


def test_an_empty_mask_is_shown_as_empty_and_not_kept(page: PageState, tmp_path: Path) -> None:
    queue = written_queue(tmp_path, [0.0])
    shown, kept, removed = responses(
        page,
        queue,
        ("GET", "/masks/0", None),
        ("POST", "/masks/0/decision", {"decision": "keep"}),
        ("POST", "/masks/0/decision", {"decision": "remove"}),
    )
    assert (shown.json()["is_empty"], shown.json()["words"]) == (True, "Empty mask")
    assert kept.status_code == 400
    assert kept.json() == {"error": "a mask that is kept must have one pixel or more, got none"}
    assert removed.json()["n_left"] == 0
    assert [*queue._decisions] == [((1, 0), Decision("remove"))]


def test_a_prompt_whose_mask_is_empty_replaces_nothing(
    page: PageState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = written_queue(tmp_path, [0.5])
    empty = written_queue(tmp_path / "empty", [0.0]).candidate(0).entry
    monkeypatch.setattr("stages.web.downloads.annotation_of", lambda *_: empty)
    replaced = {"decision": "replace", "object": OBJECT}
    (refused,) = responses(page, queue, ("POST", "/masks/0/decision", replaced))
    assert refused.json() == {"error": "a mask that is kept must have one pixel or more, got none"}
    assert queue.candidate(0).decision is None


def test_a_mask_that_replaced_another_is_kept_as_it_is_shown(
    page: PageState, tmp_path: Path
) -> None:
    queue = written_queue(tmp_path, [0.5])
    clicked = {"decision": "replace", "object": OBJECT | {"box": [50, 30, 200, 150]}}
    keep = {"decision": "keep"}
    responses(page, queue, *(("POST", "/masks/0/decision", body) for body in (clicked, keep)))
    first, last = queue._decisions._by_key[1, 0].values()
    assert first == last
    assert first.decision == "clicked"


@pytest.mark.parametrize("content", [b"", b"\n{}\n", None], ids=["empty", "another", "cut"])
def test_masks_that_are_cut_short_meanwhile_are_named_and_not_decided_about(
    content: bytes | None, page: PageState, tmp_path: Path
) -> None:
    queue = written_queue(tmp_path, [0.5])
    file = tmp_path / "masks.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if content is None else content)
    requests = (
        *(("GET", f"/masks/0{part}", None) for part in ("", "/thumbnail")),
        ("POST", "/masks/0/decision", {"decision": "keep"}),
    )
    for refused in responses(page, queue, *requests):
        assert refused.status_code == 400
        assert refused.json()["error"].startswith(
            f"{file} must stay as it is while a command reads it, got another or none at byte "
        )
    file.write_bytes(whole)
    (shown,) = responses(page, queue, ("GET", "/masks/0", None))
    assert shown.status_code == 200


@pytest.mark.parametrize("decision", ["keep", "remove", "redraw", "replace"])
def test_a_mask_whose_file_was_changed_is_neither_shown_nor_decided_about(
    decision: str, page: PageState, tmp_path: Path
) -> None:
    queue = written_queue(tmp_path, [0.5])
    path = tmp_path / "images" / "1.png"
    digests = file_digests(queue.source)
    queue.source = replace(queue.source, digests=digests)
    Image.fromarray(drawn()[::-1]).save(path)
    requests = (
        *(("GET", f"/masks/0{part}", None) for part in ("", "/thumbnail")),
        ("POST", "/masks/0/decision", {"decision": decision, "object": OBJECT}),
    )
    for refused in responses(page, queue, *requests):
        assert refused.json() == {
            "error": f"{path} must be the file that its masks are about, got one that was changed: "
            "restore it, or end `usam review` and run it again, which makes its masks anew"
        }
    (skipped,) = responses(page, queue, ("POST", "/masks/0/decision", {"decision": "skip"}))
    assert skipped.json()["n_skipped"] == 1
    assert [*queue._decisions] == [((1, 0), Decision("skip"))]
    Image.fromarray(drawn()).save(path)
    (shown,) = responses(page, queue, ("GET", "/masks/0", None))
    assert shown.status_code == 200


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"decision": "maybe"}, "decision must be as the page sends it, got: Input should be"),
        ({"decision": "replace"}, "object must come with the decision replace, got none"),
    ],
)
def test_a_faulty_decision_is_refused_and_nothing_is_written(
    content: dict[str, Any], words: str, page: PageState, tmp_path: Path
) -> None:
    queue = written_queue(tmp_path, [0.5])
    (refused,) = responses(page, queue, ("POST", "/masks/0/decision", content))
    assert refused.status_code == 400
    assert refused.json()["error"].startswith(words)
    (undone,) = responses(page, queue, ("POST", "/undo", None))
    assert undone.json() == {"error": "there must be a decision to undo, got none"}
    assert not queue.decisions_file.exists()


def test_a_decision_that_the_full_disk_cannot_hold_is_refused_in_words(
    page: PageState, tmp_path: Path
) -> None:
    queue = written_queue(tmp_path, [0.5])
    keep = ("POST", "/masks/0/decision", {"decision": "keep"})
    with full_after(queue.decisions_file, 20):
        (refused,) = responses(page, queue, keep)
    assert refused.status_code == 500
    assert refused.json() == {"error": f"{queue.decisions_file}: File too large"}
    assert written_queue(tmp_path, [0.5]).candidate(0).decision is None
    (decided,) = responses(page, queue, keep)
    assert decided.json()["n_left"] == 0
    assert written_queue(tmp_path, [0.5]).candidate(0).decision == Decision("keep")


def test_decisions_about_images_outside_of_the_queue_are_not_taken_back(
    page: PageState, tmp_path: Path
) -> None:
    whole = written_queue(tmp_path, [0.5], [0.4])
    whole.decide(1, Decision("keep"))  # of image 1
    whole.decide(0, Decision("redraw"))  # of image 2
    without_the_last = written_queue(tmp_path, [0.5])
    undone, refused = responses(
        page, without_the_last, ("POST", "/undo", None), ("POST", "/undo", None)
    )
    assert (undone.json()["next"], undone.json()["n_left"]) == (0, 1)
    assert refused.json() == {"error": "there must be a decision to undo, got none"}
    again = written_queue(tmp_path, [0.5], [0.4])
    assert [again.candidate(rank).decision for rank in (0, 1)] == [Decision("redraw"), None]


def test_a_page_of_another_start_of_the_server_changes_nothing(
    page: PageState, tmp_path: Path
) -> None:
    queue = written_queue(tmp_path, [0.5])
    queue.decide(0, Decision("keep"))
    before = queue.decisions_file.read_bytes()
    page.begin_review(queue)
    start = page.start
    page.begin_review(queue)

    async def ask(client: httpx.AsyncClient) -> list[httpx.Response]:
        client.params = {"start": start}
        decided = await client.post("/api/review/masks/0/decision", json={"decision": "remove"})
        return [decided, await client.post("/api/review/undo")]

    for refused in asked(page, ask):
        assert refused.status_code == 409
        assert refused.json()["error"].endswith("got one of another: reload the page")
    assert queue.decisions_file.read_bytes() == before


def stop_words(page: PageState, queue: ReviewQueue) -> str:
    (response,) = responses(page, queue, ("GET", "", None))
    words: str = response.json()["may_stop"]
    return words


def test_the_page_says_when_to_stop_only_where_the_heads_can_judge(
    page: PageState, tmp_path: Path
) -> None:
    good = written_queue(tmp_path / "good", [0.97] * 400)
    promise = "with 95% confidence, the 400 masks left have a mean IoU of at least"
    assert stop_words(page, good) == f"You may stop: {promise} 0.944. The review aims at 0.9."
    poor = written_queue(tmp_path / "poor", [0.92] * 400)
    assert stop_words(page, poor) == f"Go on: {promise} 0.894. The review aims at 0.9."
    good._unlike[:30] = 0.99
    aside = "Nothing is promised of 30 masks left in images unlike the training images."
    assert stop_words(page, good).endswith(aside)
    assert "the 370 masks left" in stop_words(page, good)
    for rank in range(30, 400):
        good._decided[rank] = "keep"
    assert stop_words(page, good) == (
        "Go on: look at the 30 masks left in images unlike the training images, of which nothing "
        "is promised."
    )
    poor._unlike[:50] = np.nan
    unjudged = "No rule says when to stop: the heads cannot judge the images of 12% of the masks."
    assert stop_words(page, poor) == unjudged
    poor.errors = None
    assert stop_words(page, poor) == (
        "No rule says when to stop: the file of these heads lacks their errors on held-out images "
        "for this model and such prompts."
    )
    poor.source = replace(poor.source, prompt="everything")
    assert "never tested on masks of everything" in stop_words(page, poor)
    few = written_queue(tmp_path / "few", [0.1])
    few.decide(0, Decision("redraw"))
    assert stop_words(page, few) == "You have looked at all masks."
