"""Every page in a real browser: light and dark, on a phone and a desktop.

axe.min.js is axe-core 4.14.1, https://github.com/dequelabs/axe-core, Mozilla Public License 2.0.
"""

import os
import shutil
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

AXE = Path(__file__).with_name("axe.min.js").read_text("utf-8")
STATES = [(scheme, width) for scheme in ("light", "dark") for width in (1280, 360)]
RUN_AXE = "axe.run(document, {resultTypes: ['violations']}).then(result => result.violations)"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Fonts are there; after two frames so is the new state, and what observes sizes has run.
SETTLED = """document.fonts.ready.then(() => new Promise(
    done => requestAnimationFrame(() => requestAnimationFrame(done))))"""
NO_OTHER_HOST = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


def find_chromium() -> str:
    """The path of Chromium; without it the test is skipped, and in CI it fails."""
    if chromium := shutil.which("chromium"):
        return chromium
    missing = pytest.fail if os.environ.get("CI") else pytest.skip
    missing("the browser checks need Chromium (Debian: apt-get install chromium)")


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=[NO_OTHER_HOST])
        yield browser
        browser.close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


@contextmanager
def served(folder: Path):
    """Serve `folder` on a free port; gives its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def faults(browser: Browser, site: Path) -> list[str]:
    """What is wrong with any page of `site`, a line each."""
    paths = [file.relative_to(site).as_posix() for file in sorted(site.rglob("*.html"))]
    assert paths, "no pages"
    found = []
    with served(site) as root, browser.new_context(reduced_motion="reduce") as context:
        for path in paths:
            found += [f"{path} {fault}" for fault in _page_faults(context, root, path)]
    return found


def _page_faults(context, root: str, path: str):
    """Faults of one page: loaded once, then put in each state as a reader would."""
    page, found, state = context.new_page(), [], ""

    def request(sent):
        if not sent.url.startswith((root, "data:")):
            found.append(f"{state}: request to {sent.url}")

    page.on("request", request)
    page.on("pageerror", lambda error: found.append(f"{state}: {error}"))
    page.on(
        "console",
        lambda message: message.type == "error" and found.append(f"{state}: {message.text}"),
    )
    # Notebooks, of which there are many, share one template and the pages' styles.
    for scheme, width in STATES[1:2] if path.startswith("examples/") else STATES:
        state = f"({scheme}, {width} px)"
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 800})
        if page.url == "about:blank":
            page.goto(root + path)
            page.evaluate(AXE)
        page.evaluate(SETTLED)
        if overflow := page.evaluate(OVERFLOW):
            found.append(f"{state}: scrolls sideways by {overflow} px")
        for violation in page.evaluate(RUN_AXE):
            targets = [node["target"][0] for node in violation["nodes"]]
            found.append(f"{state}: {violation['help']}: {', '.join(map(str, targets))}")
    page.close()
    return found


def test_every_page(browser, site):
    found = faults(browser, site)
    assert not found, "\n".join(found)


PAGE = """<!doctype html>
<html lang="en">
<head>
<title>Page</title>
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
</head>
<body><main><h1>Page</h1>{}</main></body>
</html>
"""
DARK = "<style>@media (prefers-color-scheme: dark) {{ {} }}</style>"


def plant(folder: Path, body: str) -> Path:
    (folder / "index.html").write_text(PAGE.format(body))
    return folder


def test_finds_no_fault_in_a_good_page(browser, tmp_path):
    assert faults(browser, plant(tmp_path, "<p>Text</p>")) == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<script>console.error('lost')</script>", "lost"),
        ("<script>throw new Error('thrown')</script>", "thrown"),
        ("<script src='missing.js'></script>", "404"),
        ("<img alt='' src='https://example.org/a.png'>", "request to https://example.org/a.png"),
        ("<div style='width: 400px'>Wide</div>", "(light, 360 px): scrolls sideways by"),
        ("<img src='data:,'>", "alternative text"),
        ("<p style='color: #999'>Pale</p>", "color contrast"),
        (
            DARK.format("body { background: black } p { color: #333 }") + "<p>Dim</p>",
            "(dark, 1280 px): Elements must meet minimum color contrast",
        ),
        ("<a href='#'></a>", "discernible text"),
    ],
)
def test_catches(browser, tmp_path, body, fault):
    assert any(fault in line for line in faults(browser, plant(tmp_path, body)))


def test_without_chromium_skips_and_in_ci_fails(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception):
        find_chromium()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception):
        find_chromium()
