"""The page in a real browser, among others: who leaves, who may not ask, and who waits."""

import threading

import pytest
from playwright.sync_api import Browser, expect

from stages.web.page import Page as Served
from stages.web.server import served
from tests.fixtures.chromium import SCENE, click_at, open_scene, tab

pytestmark = pytest.mark.slow


def test_a_closed_tab_in_mid_request_leaves_the_queue_and_its_image(
    browser: Browser, address: str, served_page: Served
) -> None:
    gate = threading.Event()
    n_before = len(served_page.images)
    try:
        with tab(browser, address, scene=SCENE) as page:
            assert len(served_page.images) == n_before + 1  # scene 1 has made room
            blocking = served_page.queue._thread.submit(gate.wait)
            seen = page.locator("#canvas").bounding_box()
            assert seen is not None
            page.mouse.click(seen["x"] + 50, seen["y"] + 50)
            expect(page.locator("#busy")).to_have_text("Working")
            expect(page.locator("#queue")).to_have_text("Queue: 1")
            page.close(run_before_unload=False)
        for _ in range(100):
            if len(served_page.queue) == 0 and len(served_page.images) == n_before:
                break
            threading.Event().wait(0.05)
        assert (len(served_page.queue), len(served_page.images)) == (0, n_before)
    finally:
        gate.set()
    assert blocking.result()


def test_a_second_image_does_not_wait_for_what_is_left_of_the_first(
    browser: Browser, address: str, served_page: Served
) -> None:
    gate = threading.Event()
    try:
        with tab(browser, address, scene=SCENE) as page:
            served_page.queue._thread.submit(gate.wait)
            seen = page.locator("#canvas").bounding_box()
            assert seen is not None
            for i in range(5):
                page.mouse.click(seen["x"] + 50 + 40 * i, seen["y"] + 50)
            page.get_by_role("button", name="Scene 2").click()
            expect(page.locator("#busy")).to_have_text("Working")
            expect(page.locator("#queue")).to_have_text("Queue: 1")  # of six, only the last
            gate.set()
            open_scene(page, 2)
            assert page.locator("body[data-answered]").count() == 0
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
            open_scene(page, 1)
            click_at(page, 120, 80)


def test_another_web_page_learns_and_changes_nothing(
    browser: Browser, address: str, served_page: Served
) -> None:
    """Another port of this machine is another site, too."""
    with served(Served()) as elsewhere:
        context = browser.new_context()
        page = context.new_page()
        page.goto(elsewhere)
        page.evaluate("document.querySelector('meta')")  # it runs
        n_images = len(served_page.images)
        # Its own policy forbids it to ask elsewhere; a stranger's would not.
        own = browser.new_context(bypass_csp=True)
        stranger = own.new_page()
        stranger.goto(elsewhere)
        told = stranger.evaluate(
            """async (address) => {
              const results = [];
              for (const [path, options] of [
                ["api/options", {}],
                ["api/images?model=tiny&heads=mini&scene=0", { method: "POST", mode: "no-cors" }],
              ]) {
                try {
                  const response = await fetch(address + path, options);
                  results.push(`${response.type} ${response.status}`);
                } catch (error) { results.push(error.name); }
              }
              return results;
            }""",
            address,
        )
        assert told == ["TypeError", "TypeError"]
        assert len(served_page.images) == n_images
        own.close()
        context.close()
