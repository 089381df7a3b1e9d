"""The report in a real browser without a network, at the widths of a desk and of a phone.

Run by ``tox -e browser``; needs Chromium with its driver, and selenium.
"""

import sys
import time
import warnings
from pathlib import Path

import matplotlib
import pytest

matplotlib.use("Agg")

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
from browser import chromium, screenshot  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select  # noqa: E402
from small_fits import make_pipe  # noqa: E402

from graphkoopman.datasets import chain_rates, make_hopping  # noqa: E402
from graphkoopman.report import write_report  # noqa: E402

FIGURES = ("exchange", "timescales", "ck", "residence", "description", "rdf", "profile", "map",
           "displacement", "diffusion", "history")  # fmt: skip
WIDTHS = (1280, 390)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    hopping = make_hopping(chain_rates(3, slowest=20.0), 900, random_state=0)
    with warnings.catch_warnings():
        # a fit of a few epochs is not asked to converge here
        warnings.simplefilter("ignore")
        pipe = make_pipe(n_states=3).fit(hopping.trajectory)
        write_report(path, pipe, hopping.trajectory)
    return path


@pytest.fixture(params=WIDTHS, scope="module")
def window(request, page):
    with chromium(request.param) as driver:
        driver.get(page.as_uri())
        wait(lambda: box(driver).get_attribute("data-ready") == "yes")
        yield driver


def wait(happened, seconds=60):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.1)


def box(driver):
    return driver.find_element(By.ID, "viewer")


def pixels(driver):
    """Distinct colours of the viewer's canvas."""
    script = """
      const canvas = document.querySelector('#viewer canvas');
      const flat = document.createElement('canvas');
      flat.width = canvas.width; flat.height = canvas.height;
      const pen = flat.getContext('2d');
      pen.drawImage(canvas, 0, 0);
      const data = pen.getImageData(0, 0, flat.width, flat.height).data, seen = new Set();
      for (let i = 0; i < data.length; i += 4) seen.add(data[i] << 16 | data[i+1] << 8 | data[i+2]);
      return seen.size;"""
    return driver.execute_script(script)


def test_no_error_and_nothing_is_asked_of_a_network(window):
    severe = [entry for entry in window.get_log("browser") if entry["level"] == "SEVERE"]
    assert not severe
    asked = window.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    assert [name for name in asked if not name.startswith(("data:", "blob:"))] == []


def test_every_figure_is_drawn_within_the_page(window):
    for name in FIGURES:
        size = window.find_element(By.CSS_SELECTOR, f"#{name} svg").size
        assert size["width"] > 150, name
        assert size["height"] > 100, name
    wide, inner = window.execute_script(
        "return [document.documentElement.scrollWidth, window.innerWidth]"
    )
    assert wide <= inner  # only tables and figures scroll sideways, not the page


def test_the_viewer_shows_atoms_and_playing_changes_their_colours(window):
    assert int(box(window).get_attribute("data-atoms")) == 72
    assert pixels(window) > 50
    before = box(window).get_attribute("data-colors")
    window.find_element(By.ID, "play").click()
    wait(lambda: int(box(window).get_attribute("data-frame")) > 5)
    window.find_element(By.ID, "play").click()
    assert box(window).get_attribute("data-colors") != before
    frame = int(box(window).get_attribute("data-frame"))
    time.sleep(0.5)
    assert int(box(window).get_attribute("data-frame")) == frame  # paused


def test_filters_following_and_cut_outs(window):
    species = window.find_element(By.CSS_SELECTOR, "input[name=species][value=S]")
    species.click()
    assert int(box(window).get_attribute("data-atoms")) == 8
    states = window.find_elements(By.CSS_SELECTOR, "input[name=state]")
    states[0].click()
    assert "0" not in box(window).get_attribute("data-colors").split(",")
    states[0].click()
    species.click()
    Select(window.find_element(By.ID, "follow")).select_by_value("3")
    assert "target 3 is in state" in window.find_element(By.ID, "frame-caption").text
    Select(window.find_element(By.ID, "follow")).select_by_value("-1")
    window.find_element(By.CSS_SELECTOR, ".show-cut").click()
    assert "show state" in window.find_element(By.ID, "frame-caption").text
    assert 1 < int(box(window).get_attribute("data-atoms")) < 72
    window.find_element(By.ID, "reset").click()
    assert int(box(window).get_attribute("data-atoms")) == 72


def test_the_slider_is_moved_by_keys(window):
    slider = window.find_element(By.ID, "slider")
    window.execute_script("arguments[0].focus()", slider)
    before = int(box(window).get_attribute("data-frame"))
    slider.send_keys(Keys.ARROW_RIGHT if before < 99 else Keys.ARROW_LEFT)
    assert abs(int(box(window).get_attribute("data-frame")) - before) == 1
    assert "ps, frame" in slider.get_attribute("aria-valuetext")


def test_tables_are_copied(window):
    button = window.find_element(By.CSS_SELECTOR, "#trust .copy")
    window.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()
    wait(lambda: button.text == "copied", 10)


def test_a_picture_to_look_at(window, page):
    width = window.execute_script("return window.innerWidth")
    path = page.with_name(f"report_{width}.png")
    screenshot(window, path)
    assert path.stat().st_size > 50_000
