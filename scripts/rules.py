"""The rules that pages keep, checked before the site is built.

Each problem says where it is and what to do. Outline, navigation, pages and scripts agree one to
one, for what exists; code on a page is included from a script; a measurement is taken from a
record, or cited; pages have the same parts.
"""

import itertools
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

import records

DOCS = records.ROOT / "docs"
OUTLINE = records.ROOT / "tests" / "outline.md"
BESIDE_THE_OUTLINE = ["index.md", "running-example.md"]  # the home page; about the handbook
SECTIONS = ["## What can go wrong", "## Where to go next", "## References"]

TIMES = r"m?s\b|µs\b|ns\b|(?:milli|micro)?seconds?\b"
UNITS = rf"%|percent\b|(?:percentage )?points?\b|{TIMES}|[KMG]i?B\b|LSB\b|dB\b|\u00d7|times\b"
MEASUREMENT = re.compile(
    rf"(?<![\w.#-])\d(?:[\d ,.]*\d)?[ \u00a0]?(?:{UNITS}|x\b(?! ?\d))(?! interval)"
)
NOT_PROSE = [
    re.compile(r"\A---\n.*?\n---\n", re.S),  # front matter
    re.compile(r"^( *)(`{3,}).*?^\1\2 *$", re.S | re.M),  # fences
    re.compile(r"\{\{.*?\}\}|\$\$.*?\$\$", re.S),  # includes, maths
    re.compile(r"^\[\^.*$", re.M),  # the text of a citation
    re.compile(r"`[^`\n]*`|\$[^$\n]+\$|\]\([^)]*\)"),  # inline code and maths, link targets
]
CITATION = re.compile(r"\[\^[\w-]+\]")
SENTENCE = re.compile(r"(?:^\|.*$|.+?(?:[.!?:](?:\[\^[\w-]+\])*(?=\s)|\Z|\n\s*\n))", re.S | re.M)
PYTHON_FENCE = re.compile(r"\s*(?:```+|~~~+)\s*\{?\s*\.?(?:py|python|python3|pycon|ipython)\b")


@dataclass
class House:
    """What exists: paths of pages below docs/, of scripts below examples/."""

    outline: dict[str, list[str]]  # page -> its scripts
    nav: list[str]
    pages: dict[str, list[str]]  # page -> the scripts that its front matter names
    scripts: list[str]


def problems() -> list[str]:
    """Every problem of the handbook's pages, a line each."""
    found = house_problems(read_house())
    for page in pages():
        inside = page.relative_to(DOCS).as_posix() not in BESIDE_THE_OUTLINE
        text = page.read_text("utf-8")
        for line, problem in page_problems(text, has_all_parts=inside):
            found.append(f"{page.relative_to(records.ROOT).as_posix()}:{line}: {problem}")
    return found


def pages() -> list[Path]:
    """The handbook's own pages."""
    generated = (DOCS / "records", DOCS / "assets")
    return sorted(p for p in DOCS.rglob("*.md") if not any(p.is_relative_to(g) for g in generated))


# Outline, navigation, pages, scripts


def read_house() -> House:
    """What exists in this repository."""
    nav = re.search(r"^nav:\n(?:[ #].*\n|\n)+", (records.ROOT / "mkdocs.yml").read_text(), re.M)
    return House(
        outline=read_outline(),
        nav=nav_pages(yaml.safe_load(nav[0])["nav"]) if nav else [],
        pages={
            p.relative_to(DOCS).as_posix(): front_matter(p).get("scripts") or [] for p in pages()
        },
        scripts=[f"{records.name(script)}.py" for script in records.scripts()],
    )


def read_outline() -> dict[str, list[str]]:
    """Each page of the outline's table with the scripts of its row."""
    text = OUTLINE.read_text("utf-8") if OUTLINE.exists() else ""
    rows = re.findall(r"^\| [\d.]+ \|.*\| (\S+\.md) \| (.+) \|$", text, re.M)
    return {page: re.findall(r"\S+\.py", scripts) for page, scripts in rows}


def nav_pages(items: list) -> list[str]:
    """The pages of a MkDocs nav, in its order."""
    found = []
    for item in items:
        value = next(iter(item.values())) if isinstance(item, dict) else item
        found += nav_pages(value) if isinstance(value, list) else [value]
    return found


def front_matter(page: Path) -> dict:
    """The YAML at the head of a page."""
    head = re.match(r"---\n(.*?)\n---\n", page.read_text("utf-8"), re.S)
    return yaml.safe_load(head[1]) if head else {}


def house_problems(house: House) -> list[str]:
    """Every disagreement between outline, navigation, pages and scripts."""
    found = []
    order = ["index.md", *house.outline, *BESIDE_THE_OUTLINE[1:]]
    for page, scripts in house.pages.items():
        if page not in order:
            found.append(f"docs/{page}: not in tests/outline.md")
        elif page not in house.nav:
            before = [other for other in order[: order.index(page)] if other in house.nav]
            after = f", after {before[-1]}" if before else ""
            found.append(f"mkdocs.yml: add {page} to the nav{after}")
        for script in scripts:
            if script not in house.scripts:
                found.append(f"docs/{page}: examples/{script} does not exist")
        for script in house.outline.get(page, []):
            if script in house.scripts and script not in scripts:
                found.append(f"docs/{page}: its scripts lack {script}")
    for page in house.nav:
        if page not in house.pages:
            found.append(f"mkdocs.yml: the nav names {page}, which does not exist")
    known = [page for page in house.nav if page in order and page in house.pages]
    for page, following in itertools.pairwise(known):
        if order.index(page) > order.index(following):
            found.append(f"mkdocs.yml: {following} must come before {page} (tests/outline.md)")
    shown = {script for scripts in house.pages.values() for script in scripts}
    for script in house.scripts:
        if script not in shown:
            found.append(f"examples/{script}: no page names it in its scripts")
    return found


# One page


def page_problems(markdown: str, has_all_parts: bool = True) -> list[tuple[int, str]]:
    """Line and text of every problem of a page's Markdown."""
    parts = shape_problems(markdown) if has_all_parts else []
    checks = (typed_measurements, loose_fences, unnamed_columns)
    return sorted(parts + [problem for check in checks for problem in check(markdown)])


def typed_measurements(markdown: str) -> list[tuple[int, str]]:
    """Measurements typed by hand: a number with a unit, in a sentence that cites nothing."""
    for pattern in NOT_PROSE:
        markdown = pattern.sub(lambda found: "\n" * found[0].count("\n"), markdown)
    found = []
    for sentence in SENTENCE.finditer(markdown):
        if not CITATION.search(sentence[0]):
            for match in MEASUREMENT.finditer(sentence[0]):
                line = markdown.count("\n", 0, sentence.start() + match.start()) + 1
                cure = 'record it and take it with {{ number("...") }}, or cite its source, [^...]'
                found.append((line, f'"{match[0]}" is typed by hand: {cure}'))
    return found


def loose_fences(markdown: str) -> list[tuple[int, str]]:
    """Python fences that no script runs and no `<!-- not run: reason -->` before them explains."""
    found = []
    lines = ["", *markdown.splitlines()]
    for number, line in enumerate(lines):
        explained = number and re.match(r"\s*<!-- not run: .{10,} -->", lines[number - 1])
        if PYTHON_FENCE.match(line) and not explained:
            cure = 'put it in a cell of a script and include it, {{ code("cell") }}'
            found.append((number, f"nothing runs this Python: {cure}"))
    return found


def unnamed_columns(markdown: str) -> list[tuple[int, str]]:
    """Heads of tables with an empty cell, which a screen reader cannot announce."""
    lines = markdown.splitlines()
    return [
        (number, "a column of this table has no name: give it one")
        for number, (head, rule) in enumerate(itertools.pairwise(lines), 1)
        if re.fullmatch(r"\|(?: *:?-+:? *\|)+", rule) and re.search(r"\|\s*\|", head)
    ]


def shape_problems(markdown: str) -> list[tuple[int, str]]:
    """Where a page departs from the pattern: front matter, title, opening, closing sections."""
    head = re.match(r"---\n(.*?)\n---\n", markdown, re.S)
    meta = yaml.safe_load(head[1]) if head else {}
    wanted = [key for key in ("title", "description") if not meta.get(key)]
    found = [(1, f"the front matter lacks {key}") for key in wanted]
    body = (markdown[head.end() :] if head else markdown).strip() + "\n"
    headline, _, rest = body.partition("\n")
    if not headline.startswith("# "):
        found.append((1, "after the front matter comes the page's title, `# Title`"))
    elif not re.match(r"[A-Z*`]", rest.strip()):
        found.append((1, "after the title comes the paragraph that answers the question"))
    if meta.get("scripts"):
        positions = [body.find(f"\n{section}\n") for section in SECTIONS]
        missing = [s for s, at in zip(SECTIONS, positions, strict=True) if at == -1]
        found += [(1, f"there is no section `{section}`") for section in missing]
        if not missing and positions != sorted(positions):
            found.append((1, f"the closing sections are {', '.join(SECTIONS)}, in this order"))
    for number, line in enumerate(markdown.splitlines(), 1):
        if re.search(r"\b(TODO|FIXME|XXX|TBD)\b|coming soon", line, re.I):
            found.append((number, "unfinished"))
    return found
