"""The page in a real browser, among others: who leaves, and who may ask."""

import threading

import pytest
from playwright.sync_api import Browser, expect

from stages.web import images
from stages.web.page import Page as Served
from tests.fixtures.chromium import SCENE, click_at, open_scene, tab
from tests.fixtures.web_page import finished, until
from tools.served_page import served

pytestmark = pytest.mark.slow


def test_a_closed_tab_in_mid_request_leaves_the_queue_and_its_image(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "RELOAD_S", 0.2)
    gate, own = threading.Event(), Served()
    try:
        with served(own) as address, tab(browser, address, scene=SCENE) as page:
            assert len(own.images) == 1  # scene 1 has made room
            blocking = own.queue._thread.submit(gate.wait)
            seen = page.locator("#canvas").bounding_box()
            assert seen is not None
            page.mouse.click(seen["x"] + 50, seen["y"] + 50)
            expect(page.locator("#busy")).to_have_text("Working")
            expect(page.locator("#queue")).to_have_text("Queue: 1")
            page.close(run_before_unload=False)
            finished(until(lambda: len(own.queue) == len(own.images) == 0))
            gate.set()
            assert blocking.result()
    finally:
        gate.set()


def test_with_a_token_the_page_works_by_its_address_alone(browser: Browser) -> None:
    with served(Served(), host="0.0.0.0") as given:  # noqa: S104 - that others may reach
        token = given.partition("#")[2]
        port = given.partition("#")[0].rstrip("/").rpartition(":")[2]
        here = f"http://127.0.0.1:{port}/"
        with tab(browser, here, may_be_refused=True, scene=0) as page:
            expect(page.get_by_role("alert")).to_contain_text("must carry the token")
        with tab(browser, f"{here}#{token}", scene=SCENE) as page:
            assert page.url == here  # not to be read over a shoulder, nor kept in the history
            page.reload()
            open_scene(page, SCENE)
            click_at(page, 120, 80)
