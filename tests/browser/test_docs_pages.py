"""The documentation in a real browser without a network: wide and narrow, light and dark.

Run by ``tox -e browser``; needs Chromium with its driver, selenium and the extra ``docs``. The
variable ``GRAPHKOOPMAN_PAGES`` may name a folder of pages that are built already.
"""

import os
import subprocess
import sys
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent)]
from browser import chromium  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402

PAGES = (
    "index", "install", "start", "tutorials", "cheatsheet", "faq", "reading", "cli", "glossary",
    "citing", "versions", "api", "theory", "looking", "tutorials/known_answer",
    "tutorials/from_gdynet", "tutorials/seven_discs", "api/graphkoopman.structure.state_rdf",
    "api/graphkoopman.estimator.GDyNetEstimator",
)  # fmt: skip
# elements that stick out of the window, unless something around them scrolls
STICKING_OUT = """
const scrolls = e => { for (; e; e = e.parentElement) {
    const o = getComputedStyle(e).overflowX; if (o === 'auto' || o === 'scroll') return true; }
    return false; };
return [...document.querySelectorAll('main *, article *')].filter(e => {
    const box = e.getBoundingClientRect();
    return box.width > 0 && box.right > window.innerWidth + 1 && !scrolls(e);
}).map(e => e.tagName + ' ' + e.className + ' ' + e.textContent.slice(0, 40));
"""


class Quiet(SimpleHTTPRequestHandler):
    """Files of the pages, without a line for each."""

    def log_message(self, *args):
        pass


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    folder = os.environ.get("GRAPHKOOPMAN_PAGES")
    if folder is None:
        folder = tmp_path_factory.mktemp("pages")
        command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", "docs", folder]
        subprocess.run(command, cwd=ROOT, check=True)
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *args: Quiet(*args, directory=str(folder))
    )
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_fit_their_window_and_load_nothing_from_elsewhere(site, width, dark):
    with chromium(width, dark=dark) as driver:
        for page in PAGES:
            driver.get(f"{site}/{page}.html")
            assert driver.execute_script(STICKING_OUT) == [], page
            loaded = driver.execute_script(
                "return performance.getEntriesByType('resource').map(entry => entry.name)"
            )
            assert [name for name in loaded if not name.startswith(site)] == [], page
            broken = driver.execute_script(
                "return [...document.images].filter(i => i.complete && !i.naturalWidth)"
                ".map(i => i.src)"
            )
            assert broken == [], page
            assert [entry["message"] for entry in driver.get_log("browser")] == [], page


@pytest.mark.parametrize(
    ("words", "found"),
    [("CK", "glossary"), ("Li", "glossary"), ("xtc", "files"), ("MFPT", "reading")],
)
def test_search_finds(site, words, found):
    with chromium(1280) as driver:
        driver.get(f"{site}/search.html?q={words}")
        end = time.monotonic() + 30
        while time.monotonic() < end:
            links = driver.find_elements(By.CSS_SELECTOR, "#search-results li a")
            if any(f"/{found}.html" in (link.get_attribute("href") or "") for link in links):
                return
            time.sleep(0.2)
        raise AssertionError(f"{words} finds {[link.text for link in links]}")


def test_code_can_be_copied_and_formulas_need_no_script(site):
    with chromium(1280) as driver:
        driver.get(f"{site}/install.html")
        assert driver.find_elements(By.CSS_SELECTOR, "button.copybtn")
        driver.get(f"{site}/theory.html")
        formula = driver.find_element(By.CSS_SELECTOR, "div.math math")
        assert formula.size["height"] > 10
        assert not driver.find_elements(By.CSS_SELECTOR, ".MathJax")
