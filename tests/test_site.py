"""The built site: strict, whole, light, and loading nothing from another host.

Each check is a function that returns what is wrong; the second half plants faults that it finds.
"""

import gzip
import json
import re
import subprocess
import sysconfig
from html.parser import HTMLParser
from pathlib import Path

import pages
import pytest
from conftest import build_site

import records

NOTEBOOK_LIMIT = 15_000  # bytes, gzipped, without the figures
LOADING = {"src", "srcset", "data", "poster"}  # attributes that make a browser load something
LINKS = {"canonical", "license", "next", "prev"}  # <link>s that load nothing
ELSEWHERE = re.compile(r"\s*(https?:)?//|/")  # another host; or this one's root, see 404.html
LOADED_BY_CSS = re.compile(r"""(?:url\(|@import)\s*["']?\s*((?:https?:)?//[^"')\s]+)""")
LOADED_BY_JS = re.compile(
    r"""\b(?:from|import|fetch|importScripts)\b[\s(]*["'`]((?:https?:)?//\S+?)["'`]"""
)


def broken_links(site: Path) -> str:
    """What lychee says of links and anchors inside the site; empty if all is well."""
    lychee = Path(sysconfig.get_path("scripts")) / "lychee"
    options = ["--offline", "--include-fragments", "--index-files", "index.html", "--no-progress"]
    done = subprocess.run(
        [lychee, *options, "--root-dir", site, *sorted(site.rglob("*.html"))],
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 2), done.stderr
    return done.stdout if done.returncode else ""


def external_loads(site: Path) -> list[str]:
    """What a browser would load from another host, or from the root and not below a sub-path."""
    found = []
    for file in sorted(site.rglob("*")):
        if file.suffix in {".html", ".svg"}:
            parser = _Loads()
            parser.feed(file.read_text("utf-8"))
            addresses = parser.found + LOADED_BY_CSS.findall(file.read_text("utf-8"))
        elif file.suffix in {".css", ".js", ".mjs"}:
            pattern = LOADED_BY_CSS if file.suffix == ".css" else LOADED_BY_JS
            addresses = pattern.findall(file.read_text("utf-8"))
        else:
            continue
        if file.name == "404.html":  # it is served for any path, so it counts from the root
            addresses = [address for address in addresses if not re.match("/[^/]", address)]
        found += [f"{file.relative_to(site)}: {address}" for address in addresses]
    return found


class _Loads(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attributes) -> None:
        values = dict(attributes)
        loading = LOADING | ({"href"} if tag in {"link", "use", "image"} else set())
        if tag == "link" and values.get("rel") in LINKS:
            return
        self.found += [v for k, v in values.items() if k in loading and ELSEWHERE.match(v or "")]


def heavy_notebooks(site: Path) -> list[str]:
    """Notebook pages whose HTML is over the limit."""
    sizes = {
        page: len(gzip.compress(re.sub(r"<svg role=.*?</svg>", "", text, flags=re.S).encode()))
        for page in sorted((site / "examples").rglob("index.html"))
        for text in [page.read_text("utf-8")]
    }
    return [f"{page.relative_to(site)}: {n} B" for page, n in sizes.items() if n > NOTEBOOK_LIMIT]


def test_links(site):
    assert broken_links(site) == ""


def test_loads_nothing_from_another_host(site):
    assert external_loads(site) == []


def test_notebooks_are_light(site):
    assert heavy_notebooks(site) == []


def test_every_script_has_its_notebook_page_and_downloads(site):
    for script in records.scripts():
        folder = site / "examples" / records.name(script)
        assert (folder / "index.html").is_file()
        assert folder.with_suffix(".py").read_bytes() == script.read_bytes()
        assert json.loads(folder.with_suffix(".ipynb").read_text("utf-8"))["cells"]


def test_search_knows_the_pages_and_no_notebooks(site):
    index = json.loads((site / "search" / "search_index.json").read_text("utf-8"))
    found = {entry["location"].partition("#")[0] for entry in index["docs"]}
    assert "definition/" in found
    assert not [location for location in found if location.startswith("examples/")]


# A small site, to plant faults in

SVG = (
    '<?xml version="1.0"?><svg width="9pt"><path id="a"/><use href="#a" clip-path="url(#a)"/></svg>'
)
TABLE = {"columns": ["model", "ms"], "rows": [["a|b", 1.5], ["c", 12.25]]}
FACTS = {
    "date": "2026-11-23",
    "environment": {"python": "3.11.7", "cpu": "A CPU", "isa": ["avx2"], "versions": {"x": "1.0"}},
    "numbers": {"ratio": {"value": 3.4567}},
    "tables": {"results": TABLE},
    "figures": ["plot"],
}


def cell(name: str, source: str, *outputs: dict) -> dict:
    return {"cell_type": "code", "id": name, "source": [source], "outputs": list(outputs)} | {
        "metadata": {},
        "execution_count": None,
    }


CELLS = [
    {
        "cell_type": "markdown",
        "id": "title",
        "metadata": {},
        "source": ["# Tiny\n\nThe scale $s$."],
    },
    cell("load", "x = '<b>&lt;'"),
    cell("show", "print(x)", {"output_type": "stream", "name": "stdout", "text": ["1\n", "2\n"]}),
    cell(
        "draw",
        "figure('plot', fig)",
        {
            "output_type": "display_data",
            "metadata": {},
            "data": {"image/svg+xml": [SVG], "text/plain": ["plot"]},
        },
    ),
]


@pytest.fixture
def docs(tmp_path) -> Path:
    """The documents of a small site: one script, its record, and a page to write."""
    docs, examples = tmp_path / "docs", tmp_path / "examples"
    for name in ("part/tiny", "part/second"):
        record = docs / "records" / name
        record.mkdir(parents=True)
        facts = FACTS | {"script": f"examples/{name}.py"}
        (record / "record.json").write_text(json.dumps(facts))
        notebook = {"cells": CELLS, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        (record / "notebook.ipynb").write_text(json.dumps(notebook))
        (record / "plot.svg").write_text(SVG)
        (examples / name).parent.mkdir(exist_ok=True, parents=True)
        (examples / f"{name}.py").write_text("x = 1\n")
    (docs / "assets").symlink_to(records.ROOT / "docs" / "assets")
    return docs


def expand(docs: Path, markdown: str) -> str:
    scripts = ["part/tiny.py", "part/second.py"]
    return pages.expand(markdown, "some/page.md", scripts, docs / "records")


def build_page(docs: Path, body: str) -> str:
    """The HTML of a one-page site with this body."""
    (docs / "index.md").write_text(f"---\nscripts: [part/tiny.py]\n---\n\n# Page\n\n{body}\n")
    out = build_site(docs.parent / "site", docs_dir=str(docs), nav=["index.md"])
    return (out / "index.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ('{{ code("load") }}', "```python\nx = '<b>&lt;'\n```"),
        ('{{ code("show") }}', "```python\nprint(x)\n```\n\n```output\n1\n2\n```"),
        ('{{ code("show", output=False) }}', "```python\nprint(x)\n```"),
        ('{{ output("second:show") }}', "```output\n1\n2\n```"),
        ('    {{ output("show") }}', "    ```output\n    1\n    2\n    ```"),
        ('{{ number("ratio") }}, {{ number("ratio", ".1f") }}', "3.4567, 3.5"),
        (
            '{{ table("results") }}',
            "| model | ms |\n| --- | ---: |\n| a\\|b | 1.50 |\n| c | 12.25 |",
        ),
        ('{{ table("results", columns=["ms"]) }}', "| ms |\n| ---: |\n| 1.50 |\n| 12.25 |"),
        ('{{ entry("results", "c", "ms") }}', "12.25"),
        ('{{ entry("second:results", "c", "ms", ".1f") }}', "12.2"),
        (
            '{{ figure("plot", alt="A line", caption="It rises.") }}',
            "![A line](../records/part/tiny/plot.svg)\n*It rises.*",
        ),
        ("## Title {#title}, {% x %}\n", "## Title {#title}, {% x %}\n"),
    ],
)
def test_expands(docs, markdown, expected):
    assert expand(docs, markdown) == expected


def test_expands_a_shared_definition(docs):
    shown = expand(docs, '{{ source("data.fashion_mnist") }}')
    assert "\n\ndef fashion_mnist" in shown
    assert shown.startswith("```python\nimport ")  # what the definition uses, and nothing else
    assert "import numpy as np" in shown and "hashlib" not in shown


def test_a_long_message_wraps_and_a_wide_table_scrolls(docs):
    message, rule = "word " * 30, "-" * 60 + "  " + "-" * 60
    assert "output--wrap" in build_page(docs, f"```output\n{message}\n```")
    assert "output--wrap" not in build_page(docs, f"```output\n{message}\n{rule}\n1  2\n```")


def test_links_a_script_to_the_page_that_shows_it(docs):
    for page, scripts in {
        "a.md": "part/tiny.py, part/second.py",
        "part/second.md": "part/second.py",
    }.items():
        (docs / page).parent.mkdir(exist_ok=True)
        (docs / page).write_text(f"---\ntitle: The {page}\nscripts: [{scripts}]\n---\n")
    table = "| script:part/tiny | script:part/second |"
    linked = "| [The a.md](../a.md) | [The part/second.md](second.md) |"
    assert pages.link_scripts(table, "part/x.md", docs) == linked
    with pytest.raises(pages.BuildError, match="no page that shows the script 'part/tin'"):
        pages.link_scripts("script:part/tin", "x.md", docs)
    arrow = '<a xlink:href="script:part/second|ONNX to Keras: exact" target="_blank"><path/></a>'
    figure = f'<svg role="img" aria-label="Map">{arrow}\n{arrow}</svg><svg role="img"></svg>'
    link = '<a href="../second/" aria-label="ONNX to Keras: exact">'
    assert pages.link_figures(figure, "part/x/", docs) == (
        f'<svg role="group" aria-label="Map">{link}<path/><path/></a></svg><svg role="img"></svg>'
    )


@pytest.mark.parametrize(
    ("markdown", "message"),
    [
        ('{{ number("ration") }}', "some/page.md: no number 'ration'; nearest: ratio"),
        ('{{ code("lod") }}', "no cell 'lod'; nearest: load"),
        ('{{ code("title") }}', "no cell 'title'"),
        ('{{ output("load") }}', "the cell 'load' printed nothing"),
        ('{{ table("result") }}', "no table 'result'; nearest: results"),
        ('{{ table("results", columns=["s"]) }}', "no column 's'; nearest: ms"),
        ('{{ entry("results", "d", "ms") }}', "no row 'd'"),
        ('{{ entry("results", "c", "s") }}', "no column 's'; nearest: ms"),
        ('{{ figure("plod", alt="x") }}', "no figure 'plod'; nearest: plot"),
        ('{{ figure("plot") }}', 'needs alt="what it shows, in words"'),
        ('{{ code("secnd:load") }}', "no script 'secnd'; nearest: second"),
        (
            '{{ source("data.fashion_mnst") }}',
            "no definition 'fashion_mnst'; nearest: fashion_mnist",
        ),
        ('{{ numbr("ratio") }}', "no function 'numbr'; nearest: number"),
        ('{{ number("ratio", "q") }}', "some/page.md: Unknown format code 'q'"),
        ('{{ number("ratio" }}', """some/page.md: unexpected '}', expected ')' in {{ number("""),
        ("{{ ratio }}", "'ratio' is undefined"),
    ],
)
def test_names_what_a_page_asks_for_in_vain(docs, markdown, message):
    with pytest.raises(pages.BuildError) as error:
        expand(docs, markdown)
    assert message in str(error.value)


def test_figures_of_a_page_have_names_and_ids_of_their_own():
    image = '<p><img alt="A line" src="plot.svg" />\n<em>It <b>rises</b>.</em></p>'
    html = pages.inline_figures(image * 2, lambda address: SVG)
    assert html.count('role="img" aria-label="A line"') == 2
    assert html.count("<figcaption>It <b>rises</b>.</figcaption>") == 2
    for figure in ("figure1-a", "figure2-a"):
        for use in (f'id="{figure}"', f'href="#{figure}"', f"url(#{figure})"):
            assert html.count(use) == 1


def test_page_and_notebook_are_built_from_the_record(docs):
    figure = '{{ figure("plot", alt="A line") }}'
    html = build_page(docs, f'=== "Tab"\n\n    {{{{ code("show") }}}}\n\n{figure}\n\n$$x_{{q}}$$')
    assert 'aria-label="Output"><pre><code>1\n2</code>' in html
    assert '<figure><svg role="img" aria-label="A line"' in html
    assert 'class="katex-display"' in html and "katex.min.css" in html
    assert "python examples/part/tiny.py" in html and "x 1.0." in html
    notebook = (docs.parent / "site/examples/part/tiny/index.html").read_text("utf-8")
    assert 'aria-label="Output"><pre><code>1\n2</code>' in notebook
    assert '<figure><svg role="img" aria-label="A line"' in notebook
    assert "&lt;b&gt;&amp;lt;" in notebook
    assert 'class="katex"' in notebook and '">Page</a>' in notebook


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("[a](missing.md)", "missing.md"),
        ("[a](#missing)", "#missing"),
        ("![a](missing.svg)", "missing.svg"),
        ("[a](/absolute.md)", "absolute"),
        ('{{ code("lod") }}', "index.md: no cell 'lod'"),
        ("Half of $\\frac{1$.", r"index.md: in the formula \frac{1: KaTeX parse error"),
    ],
)
def test_build_fails_at(docs, caplog, body, message):
    with pytest.raises(SystemExit):
        build_page(docs, body)
    assert message in caplog.text


def test_build_fails_at_a_page_that_the_nav_lacks(docs, caplog):
    (docs / "other.md").write_text("# Other\n")
    with pytest.raises(SystemExit):
        build_page(docs, "")
    assert "other.md" in caplog.text


def test_build_fails_at_a_script_without_a_record(docs, caplog):
    (docs / "records/part/tiny").rename(docs / "records/part/tidy")
    with pytest.raises(SystemExit):
        build_page(docs, "")
    assert "no record of the script 'part/tiny'; nearest: part/tidy" in caplog.text


@pytest.mark.parametrize("link", ["missing", "#missing", "other/#missing", "missing.css"])
def test_catches_a_broken_link(tmp_path, link):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "index.html").write_text('<p id="here">Here</p>')
    (tmp_path / "index.html").write_text('<a href="other/#here">good</a>')
    assert broken_links(tmp_path) == ""
    (tmp_path / "index.html").write_text(f'<a href="{link}">bad</a>')
    assert "missing" in broken_links(tmp_path)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("index.html", '<script src="https://example.org/a.js"></script>'),
        ("index.html", '<link rel="stylesheet" href="//example.org/a.css">'),
        ("index.html", '<script src="/assets/a.js"></script>'),
        ("index.html", '<img srcset="https://example.org/a.png 2x">'),
        ("index.html", '<p style="background: url(https://example.org/a.png)">'),
        ("figure.svg", '<svg><image href="https://example.org/a.png"/></svg>'),
        ("styles.css", '@import "https://example.org/a.css";'),
        ("styles.css", "p { background: url(//example.org/a.png) }"),
        ("site.js", 'import a from "https://example.org/a.js";'),
        ("site.js", "fetch(`https://example.org/a.json`)"),
    ],
)
def test_catches_a_load_from_another_host(tmp_path, file, text):
    (tmp_path / "index.html").write_text('<a href="https://example.org/">a link loads nothing</a>')
    assert external_loads(tmp_path) == []
    (tmp_path / file).write_text(text)
    assert external_loads(tmp_path)


def test_catches_a_heavy_notebook(tmp_path):
    page = tmp_path / "examples" / "a" / "index.html"
    page.parent.mkdir(parents=True)
    text = " ".join(str(hash(str(n))) for n in range(2000))
    page.write_text(f'<svg role="img">{text}</svg>')
    assert heavy_notebooks(tmp_path) == []
    page.write_text(text)
    assert heavy_notebooks(tmp_path)
