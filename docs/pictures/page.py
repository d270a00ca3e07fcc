"""Take the picture of the page: a real server and a real browser, `make pictures` at the root."""

from pathlib import Path

from tests.support.browser import browsing
from tests.support.server import launched

TEXT = "The room was small, but the view made up for everything. We would come back tomorrow."
WIDTH_PX, MARGIN_PX, SCALE = 940, 24, 2

if __name__ == "__main__":
    with launched("--http-port", "0") as server, browsing() as browser:
        address = server.event("SERVING")["http"]
        page = browser.new_page(
            viewport={"width": WIDTH_PX, "height": 900},
            color_scheme="light",
            device_scale_factor=SCALE,
        )
        page.goto(f"http://{address}/")
        page.locator("#model[data-state=ready]").wait_for()
        page.locator("#text").fill(TEXT)
        page.keyboard.press("Control+Enter")
        answer = page.locator("#result .card")
        answer.wait_for()
        box = answer.bounding_box()
        if box is None:
            raise AssertionError("the answer is not visible")
        height = box["y"] + box["height"] + MARGIN_PX
        clip = {"x": 0, "y": 0, "width": WIDTH_PX, "height": height}
        page.screenshot(path=Path(__file__).with_name("page.png"), clip=clip, full_page=True)
