"""The blocks of a page, copied in their order into an empty file, are a program without gaps."""

import re
import subprocess
import sys
import textwrap

import pages
import pytest

import records
import rules

CHAPTERS = [rules.DOCS / chapter for chapter in ("pytorch", "onnx", "tensorflow", "conversion")]
PAGES = [page for page in rules.pages() if set(CHAPTERS) & set(page.parents)]
PYTHON = re.compile(r"^( *)(`{3,})python\n(.*?)^\1\2 *$", re.S | re.M)


def blocks(markdown: str) -> str:
    """All Python of a page's Markdown, in order, as a reader copies it."""
    return "\n".join(textwrap.dedent(code) for _, _, code in PYTHON.findall(markdown))


def gaps(program: str) -> str:
    """Names that the program uses and never defines, as ruff reports them."""
    # --isolated: the settings of this repository do not bind a reader.
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select=F821,E9", "-"]
    done = subprocess.run(command, input=program, capture_output=True, text=True)
    return done.stdout if done.returncode else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(rules.DOCS).as_posix())
def test_copied_blocks_have_no_gap(page):
    name = page.relative_to(rules.DOCS).as_posix()
    scripts = rules.front_matter(page).get("scripts") or []
    program = blocks(pages.expand(page.read_text("utf-8"), name, scripts, records.RECORDS))
    assert bool(program) == bool(scripts), "a page with scripts shows their code"
    assert gaps(program) == ""


def test_catches_a_block_that_lacks_the_one_before():
    page = "Text\n\n```python\nx = 1\n```\n\n??? note\n\n    ```python\n    print(x, y)\n    ```\n"
    assert blocks(page) == "x = 1\n\nprint(x, y)\n"
    assert "Undefined name `y`" in gaps(blocks(page))
    assert gaps("x = 1\nprint(x)\n") == ""
