"""What the source of a page must keep: included code, recorded numbers, the same five parts."""

import re
from pathlib import Path

import pytest
from test_outline import BESIDE_THE_OUTLINE, front_matter

import records

DOCS = records.ROOT / "docs"
PAGES = sorted(
    page
    for page in DOCS.rglob("*.md")
    if not page.is_relative_to(DOCS / "records") and not page.is_relative_to(DOCS / "assets")
)
SECTIONS = ["## What can go wrong", "## Where to go next", "## References"]
UNITS = [
    *(
        "%",
        r"percent\b",
        r"(?:percentage )?points?\b",
        r"ms\b",
        r"µs\b",
        r"ns\b",
        r"s\b",
        r"seconds?\b",
    ),
    *(r"[KMG]i?B\b", r"LSB\b", r"dB\b", "\u00d7", r"x\b(?! ?\d)", r"times\b"),
]
MEASUREMENT = re.compile(rf"(?<![\w.#-])\d[\d ,.]*[ \u00a0]?(?:{'|'.join(UNITS)})(?! interval)")
NOT_PROSE = [
    re.compile(r"\A---\n.*?\n---\n", re.S),  # front matter
    re.compile(r"^( *)(`{3,}).*?^\1\2 *$", re.S | re.M),  # fences
    re.compile(r"\{\{.*?\}\}|\$\$.*?\$\$", re.S),  # includes, maths
    re.compile(r"^\[\^.*$", re.M),  # the text of a citation
    re.compile(r"`[^`\n]*`|\$[^$\n]+\$|\]\([^)]*\)"),  # inline code and maths, link targets
]
CITATION = re.compile(r"\[\^[\w-]+\]")


def prose(markdown: str) -> list[tuple[int, str]]:
    """Numbered lines without front matter, fences, inline code, maths, includes and footnotes."""
    for pattern in NOT_PROSE:
        markdown = pattern.sub(lambda found: "\n" * found[0].count("\n"), markdown)
    return list(enumerate(markdown.splitlines(), 1))


def typed_measurements(markdown: str) -> list[str]:
    """Measurements typed by hand: a number with a unit, in a paragraph that cites nothing."""
    paragraphs, current = [], []
    for number, line in [*prose(markdown), (0, "")]:
        if line.strip():
            current.append((number, line))
        elif current:
            paragraphs.append(current)
            current = []
    return [
        f"line {number}: {match[0]}"
        for paragraph in paragraphs
        if not CITATION.search(" ".join(line for _, line in paragraph))
        for number, line in paragraph
        for match in MEASUREMENT.finditer(line)
    ]


def loose_fences(markdown: str) -> list[str]:
    """Python fences that no script runs and no `<!-- not run: reason -->` before them explains."""
    lines = markdown.splitlines()
    return [
        f"line {number}: {line.strip()}"
        for number, line in enumerate(lines, 1)
        if re.match(r"\s*(```+|~~~+)\s*\{?\s*\.?(py|python|python3|pycon|ipython)\b", line)
        and not re.match(r"\s*<!-- not run: .{10,} -->", lines[number - 2] if number > 1 else "")
    ]


def shape_problems(markdown: str, meta: dict) -> list[str]:
    """Where a page departs from the pattern: front matter, opening paragraph, closing sections."""
    found = [f"front matter lacks {key}" for key in ("title", "description") if not meta.get(key)]
    body = markdown.split("---\n", 2)[2].strip() + "\n"
    headline, _, rest = body.partition("\n")
    if not headline.startswith("# ") or not re.match(r"[A-Z*`]", rest.strip()):
        found.append("it does not open with a title and a paragraph")
    if meta.get("scripts"):
        positions = [body.find(f"\n{section}\n") for section in SECTIONS]
        if -1 in positions or positions != sorted(positions):
            found.append(f"it lacks, or misplaces, one of {SECTIONS}")
    if re.search(r"\b(TODO|FIXME|XXX|TBD)\b|coming soon", body, re.I):
        found.append("it is unfinished")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(DOCS).as_posix())
def test_page(page: Path):
    markdown = page.read_text("utf-8")
    meta = front_matter(page)
    in_outline = page.relative_to(DOCS).as_posix() not in BESIDE_THE_OUTLINE
    problems = shape_problems(markdown, meta) if in_outline else []
    assert problems + typed_measurements(markdown) + loose_fences(markdown) == []


def test_there_are_pages():
    assert len(PAGES) >= 5


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
    ],
)
def test_catches_a_typed_measurement(sentence):
    assert typed_measurements(f"---\ntitle: x\n---\n# X\n\n{sentence}\n")


@pytest.mark.parametrize(
    "sentence",
    [
        "Moving a word costs 640 pJ, 173 times a multiplication.[^horowitz]",
        'It is {{ number("ratio") }} times faster.',
        "An 8-bit integer has 256 values; all 10 000 test images, with the 95 % interval.",
        "`latency 12 ms` and $6.02 dB$.",
        "```text\n12 ms\n```",
    ],
)
def test_allows(sentence):
    assert not typed_measurements(f"---\ntitle: x\n---\n# X\n\n{sentence}\n")


def test_catches_a_fence_that_nothing_runs():
    assert loose_fences("Text\n\n```python\nx = 1\n```\n")
    assert loose_fences('    ``` { .py title="x" }\n    x\n    ```\n')
    assert not loose_fences("<!-- not run: needs a GPU, see the table -->\n```python\nx = 1\n```\n")
    assert not loose_fences("```text\nx\n```\n")


GOOD = "---\nx: 1\n---\n# Title\n\nA paragraph.\n\n" + "\n\n".join(SECTIONS) + "\n"
META = {"title": "t", "description": "d", "scripts": ["a.py"]}


@pytest.mark.parametrize(
    ("markdown", "meta"),
    [
        (GOOD, META | {"description": ""}),
        (GOOD.replace("A paragraph.", "## Heading"), META),
        (GOOD.replace(SECTIONS[0], "## Other"), META),
        (GOOD.replace("A paragraph.", "A paragraph. TODO more."), META),
    ],
)
def test_catches_a_page_off_the_pattern(markdown, meta):
    assert shape_problems(GOOD, META) == []
    assert shape_problems(markdown, meta)
