"""Outline, navigation, pages and scripts agree one to one, for what exists."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml
from mkdocs.config import load_config

import records

OUTLINE = Path(__file__).with_name("outline.md")
SHARED = records.ROOT.parent / "shared" / "outline.md"
DOCS = records.ROOT / "docs"
BESIDE_THE_OUTLINE = ["index.md", "running-example.md"]  # the home page; about the handbook


@dataclass
class House:
    """What exists: paths of pages below docs/, of scripts below examples/."""

    outline: dict[str, list[str]]  # page -> its scripts
    nav: list[str]
    pages: dict[str, list[str]]  # page -> the scripts that its front matter names
    scripts: list[str]


def read_outline(path: Path) -> dict[str, list[str]]:
    """Each page of the outline's table with the scripts of its row."""
    rows = re.findall(r"^\| [\d.]+ \|.*\| (\S+\.md) \| (.+) \|$", path.read_text("utf-8"), re.M)
    return {page: re.findall(r"\S+\.py", scripts) for page, scripts in rows}


def nav_pages(items: list) -> list[str]:
    """The pages of a MkDocs nav, in its order."""
    pages = []
    for item in items:
        value = next(iter(item.values())) if isinstance(item, dict) else item
        pages += nav_pages(value) if isinstance(value, list) else [value]
    return pages


def front_matter(page: Path) -> dict:
    return yaml.safe_load(page.read_text("utf-8").split("---\n")[1])


def problems(house: House) -> list[str]:
    """Every disagreement, a line each."""
    found = []
    order = [*house.outline, *BESIDE_THE_OUTLINE]
    expected_nav = sorted(
        house.pages,
        key=lambda page: (page != "index.md", order.index(page)) if page in order else (2, 0),
    )
    if house.nav != expected_nav:
        found.append(f"nav: {house.nav} should be {expected_nav}")
    for page, scripts in house.pages.items():
        if page not in order:
            found.append(f"docs/{page}: not in the outline")
        found += [
            f"docs/{page}: examples/{s} does not exist" for s in scripts if s not in house.scripts
        ]
        missing = [
            s for s in house.outline.get(page, []) if s in house.scripts and s not in scripts
        ]
        found += [f"docs/{page}: does not name examples/{s}" for s in missing]
        if house.outline.get(page) and not scripts:
            found.append(f"docs/{page}: names no script")
    shown = {script for scripts in house.pages.values() for script in scripts}
    found += [
        f"examples/{script}: no page shows it" for script in house.scripts if script not in shown
    ]
    return found


@pytest.fixture(scope="module")
def house() -> House:
    pages = [
        p
        for p in DOCS.rglob("*.md")
        if not p.is_relative_to(DOCS / "records") and not p.is_relative_to(DOCS / "assets")
    ]
    return House(
        outline=read_outline(OUTLINE),
        nav=nav_pages(load_config(str(records.ROOT / "mkdocs.yml"))["nav"]),
        pages={p.relative_to(DOCS).as_posix(): front_matter(p).get("scripts") or [] for p in pages},
        scripts=[f"{records.name(script)}.py" for script in records.scripts()],
    )


def test_everything_agrees(house):
    assert len(house.outline) == 51 and len(house.pages) >= 5, "read nothing"
    assert problems(house) == []


def test_outline_is_the_shared_one():
    if SHARED.exists():
        assert OUTLINE.read_text("utf-8") == SHARED.read_text("utf-8")


PLANTED = {
    "a page that the nav lacks": (lambda h: replace(h, nav=h.nav[:-1]), "nav:"),
    "a nav out of order": (lambda h: replace(h, nav=h.nav[::-1]), "nav:"),
    "a page that the outline lacks": (
        lambda h: replace(h, pages=h.pages | {"new.md": []}, nav=[*h.nav, "new.md"]),
        "docs/new.md: not in the outline",
    ),
    "a script on no page": (
        lambda h: replace(h, scripts=[*h.scripts, "new.py"]),
        "examples/new.py: no page shows it",
    ),
    "a page that names a missing script": (
        lambda h: replace(h, scripts=[s for s in h.scripts if s != "definition.py"]),
        "docs/definition.md: examples/definition.py does not exist",
    ),
    "a page that lost its script": (
        lambda h: replace(h, pages=h.pages | {"definition.md": []}),
        "docs/definition.md: does not name examples/definition.py",
    ),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_catches(house, fault):
    plant, message = PLANTED[fault]
    assert any(message in problem for problem in problems(plant(house)))
