"""The rules of pages hold, and each of them catches the fault that it is for."""

from dataclasses import replace

import pytest

import records
import rules

SHARED = records.ROOT.parent / "shared" / "outline.md"


def test_every_page_keeps_the_rules():
    house = rules.read_house()
    assert len(house.outline) == 51 and len(house.nav) >= 6 and len(house.scripts) >= 5
    assert rules.problems() == []


def test_the_outline_is_the_shared_one():
    if SHARED.exists():
        assert rules.OUTLINE.read_text("utf-8") == SHARED.read_text("utf-8")


HOUSE_FAULTS = {
    "a page that the nav lacks": (
        lambda h: replace(h, nav=[page for page in h.nav if page != "definition.md"]),
        "mkdocs.yml: add definition.md to the nav, after index.md",
    ),
    "a nav out of order": (
        lambda h: replace(h, nav=["definition.md", "index.md", *h.nav[2:]]),
        "mkdocs.yml: index.md must come before definition.md (tests/outline.md)",
    ),
    "a nav that names no page": (
        lambda h: replace(h, nav=[*h.nav, "gone.md"]),
        "mkdocs.yml: the nav names gone.md, which does not exist",
    ),
    "a page that the outline lacks": (
        lambda h: replace(h, pages=h.pages | {"new.md": []}),
        "docs/new.md: not in tests/outline.md",
    ),
    "a script on no page": (
        lambda h: replace(h, scripts=[*h.scripts, "new.py"]),
        "examples/new.py: no page names it in its scripts",
    ),
    "a page that names a missing script": (
        lambda h: replace(h, scripts=[s for s in h.scripts if s != "definition.py"]),
        "docs/definition.md: examples/definition.py does not exist",
    ),
    "a page that lost its script": (
        lambda h: replace(h, pages=h.pages | {"definition.md": []}),
        "docs/definition.md: its scripts lack definition.py",
    ),
}


@pytest.mark.parametrize("fault", HOUSE_FAULTS)
def test_catches(fault):
    plant, message = HOUSE_FAULTS[fault]
    assert message in rules.house_problems(plant(rules.read_house()))


@pytest.mark.parametrize(
    "sentence",
    [
        "It is 1.8 times faster.",
        "The int8 model reaches 88.4 % on the test images.",
        "It takes 12 ms.",
        "The file has 221 KiB, a quarter.",
        "They differ by 2 LSB at most.",
        "| int8 | 88.1 % |",
        "It is 3.9\u00d7 smaller.",
        "It is 3.9x smaller.",
        "One paper says 4 %.[^paper] Here it is 5 %.",
    ],
)
def test_catches_a_typed_measurement(sentence):
    found = rules.typed_measurements(f"---\ntitle: x\n---\n# X\n\nText.\n{sentence}\n")
    assert [line for line, _ in found] == [7] and "is typed by hand: record it" in found[0][1]


@pytest.mark.parametrize(
    "sentence",
    [
        "Moving a word costs 640 pJ, 173 times a multiplication.[^horowitz]",
        'It is {{ number("ratio") }} times faster.',
        "An 8-bit integer has 256 values; all 10 000 test images, with the 95 % interval.",
        "Images of 28 x 28 pixels.",
        "`latency 12 ms` and $6.02 dB$.",
        "```text\n12 ms\n```",
    ],
)
def test_allows(sentence):
    assert not rules.typed_measurements(f"---\ntitle: x\n---\n# X\n\n{sentence}\n")


def test_catches_a_fence_that_nothing_runs():
    assert rules.loose_fences("Text\n\n```python\nx = 1\n```\n")[0][0] == 3
    assert rules.loose_fences('    ``` { .py title="x" }\n    x\n    ```\n')
    explained = "<!-- not run: needs a GPU, see the table -->\n```python\nx = 1\n```\n"
    assert not rules.loose_fences(explained)
    assert not rules.loose_fences("```text\nx\n```\n")


def test_catches_a_column_without_a_name():
    assert rules.unnamed_columns("Text\n\n| | int8 |\n|---|---|\n| size | 1 |\n")[0][0] == 3
    assert not rules.unnamed_columns("| what | int8 |\n|---|---:|\n| | 1 |\n")


GOOD = "---\ntitle: T\ndescription: D\nscripts: [a.py]\n---\n# Title\n\nA paragraph.\n\n"
GOOD += "\n\n".join(rules.SECTIONS) + "\n"


@pytest.mark.parametrize(
    ("markdown", "message"),
    [
        (GOOD.replace("description: D\n", ""), "the front matter lacks description"),
        (GOOD.replace("# Title\n", ""), "comes the page's title"),
        (GOOD.replace("A paragraph.", "## Heading"), "comes the paragraph that answers"),
        (GOOD.replace(rules.SECTIONS[0], "## Other"), "no section `## What can go wrong`"),
        (GOOD.replace("A paragraph.", "A paragraph. TODO more."), "unfinished"),
    ],
)
def test_catches_a_page_off_the_pattern(markdown, message):
    assert rules.page_problems(GOOD) == []
    assert any(message in problem for _, problem in rules.page_problems(markdown))
