"""What a page takes from the records: code, output, numbers, tables and figures.

A page is Markdown in which `{{ code("prepare") }}` stands for a cell of the page's first script
and `{{ number("qat:accuracy") }}` for a number that its script qat.py recorded. `expand` turns it
into plain Markdown; `inline_figures` and `render_maths` then work on the HTML made of that.
"""

import ast
import atexit
import difflib
import html
import itertools
import json
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, StrictUndefined, TemplateSyntaxError, UndefinedError
from mkdocs.exceptions import BuildError
from mkdocs.utils import get_relative_url
from mkdocs.utils import meta as mkdocs_meta
from py_mini_racer import JSEvalException, MiniRacer

# Only {{ }} is special in a page: {# begins a heading's id, {% may be prose.
JINJA = Environment(
    block_start_string="{!%",
    comment_start_string="{!#",
    keep_trailing_newline=True,
    undefined=StrictUndefined,
)
HANDBOOK = Path(__file__).parents[2] / "examples" / "handbook"
INDENTED = re.compile(r"^([ \t]+)\{\{(.*?)\}\}", re.MULTILINE)
IMAGE = re.compile(
    r'<p>\s*<img alt="([^"]*)" src="([^"]*\.svg)"\s*/?>\s*(?:<em>(.*?)</em>\s*)?</p>', re.DOTALL
)
# With the punctuation that follows, which must not begin a line.
MATHS = re.compile(
    r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>([,.;:?!)]*)', re.DOTALL
)


@dataclass(frozen=True)
class Record:
    """What one script left in docs/records: the facts of record.json and the executed cells."""

    name: str  # pytorch/fx/ptq_static
    facts: dict
    cells: dict[str, dict]

    @classmethod
    def load(cls, records: Path, name: str) -> "Record":
        folder = records / name
        notebook = json.loads((folder / "notebook.ipynb").read_text(encoding="utf-8"))
        facts = json.loads((folder / "record.json").read_text(encoding="utf-8"))
        return cls(name, facts, {cell["id"]: cell for cell in notebook["cells"]})


def record_names(records: Path) -> list[str]:
    """The name of every record: `pytorch/fx/ptq_static` for a folder of that path."""
    found = sorted(records.rglob("record.json"))
    return [file.parent.relative_to(records).as_posix() for file in found]


def load_records(page: str, scripts: list[str], records: Path) -> list[Record]:
    """The records of the scripts that the front matter of `page` names."""
    known = record_names(records)
    names = [script.removesuffix(".py") for script in scripts]
    for name in names:
        if name not in known:
            raise _unknown(page, "record of the script", name, known)
    return [Record.load(records, name) for name in names]


def expand(markdown: str, page: str, scripts: list[str], records: Path) -> str:
    """Replace each `{{ }}` of a page by plain Markdown taken from its scripts' records."""
    functions = Functions(page, load_records(page, scripts, records))
    public = [name for name in vars(Functions) if not name.startswith("_")]
    # What an indented expression yields, in a tab or a list, is indented as far.
    markdown = INDENTED.sub(r'\1{{ (\2) | indent("\1") }}', markdown)
    for called in re.findall(r"\{\{\W*(\w+)\(", markdown):
        if called not in public:
            raise _unknown(page, "function", called, public)
    try:
        template = JINJA.from_string(markdown)
        return template.render({name: getattr(functions, name) for name in public})
    except TemplateSyntaxError as error:
        line = markdown.splitlines()[error.lineno - 1].strip()
        raise BuildError(f"{page}: {error.message} in {line}") from error
    except (UndefinedError, TypeError, ValueError) as error:
        raise BuildError(f"{page}: {error}") from error


class Functions:
    """What a page can call; each method returns Markdown."""

    def __init__(self, page: str, records: list[Record]) -> None:
        self._page, self._records = page, records

    def code(self, cell: str, output: bool = True) -> str:
        """The source of a cell, followed by what it printed, if anything."""
        found = self._cell(cell)
        blocks = [_fence("python", "".join(found["source"]))]
        if output and (printed := printed_text(found)):
            blocks.append(_fence("output", printed))
        return "\n\n".join(blocks)

    def source(self, name: str) -> str:
        """The source of a class or function that the examples share: module.name of `handbook`.

        With the imports of its module that it uses, so that a copy of it runs.
        """
        module, _, wanted = name.partition(".")
        file = HANDBOOK / f"{module}.py"
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        body = ast.parse(text).body
        definitions = {node.name: node for node in body if hasattr(node, "name")}
        definition = self._find("definition", wanted, definitions)
        used = {node.id for node in ast.walk(definition) if isinstance(node, ast.Name)}
        inside = [node for block in body if isinstance(block, ast.With) for node in block.body]
        imports = [
            ast.get_source_segment(text, node)
            for node in body + inside
            if isinstance(node, ast.Import | ast.ImportFrom)
            and used & {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        ]
        source = ast.get_source_segment(text, definition)
        return _fence("python", "\n".join(imports) + "\n\n" * bool(imports) + source)

    def output(self, cell: str) -> str:
        """What a cell printed."""
        if printed := printed_text(self._cell(cell)):
            return _fence("output", printed)
        raise BuildError(f"{self._page}: the cell {cell!r} printed nothing")

    def number(self, name: str, spec: str = "") -> str:
        """A recorded number; `spec` as in Python's format()."""
        record, name = self._record(name)
        return format(self._find("number", name, record.facts["numbers"])["value"], spec)

    def entry(self, table: str, row: str, column: str, spec: str = "") -> str:
        """One entry of a recorded table: the row is named by its first column."""
        record, table = self._record(table)
        recorded = self._find("table", table, record.facts["tables"])
        names = [str(values[0]) for values in recorded["rows"]]
        if names.count(row) > 1:
            found = f"{names.count(row)} rows of {table!r} begin with {row!r}"
            raise BuildError(f"{self._page}: {found}")
        rows = dict(zip(names, recorded["rows"], strict=True))
        columns = dict.fromkeys(recorded["columns"])
        self._find("column", column, columns)
        values = dict(zip(columns, self._find("row", row, rows), strict=True))
        return format(values[column], spec)

    def table(self, name: str, columns: list[str] | None = None) -> str:
        """A recorded table, or only some of its columns."""
        record, name = self._record(name)
        recorded = self._find("table", name, record.facts["tables"])
        by_column = dict(zip(recorded["columns"], zip(*recorded["rows"], strict=True), strict=True))
        chosen = columns or recorded["columns"]
        return markdown_table(
            {column: self._find("column", column, by_column) for column in chosen}
        )

    def data(self, name: str) -> str:
        """A recorded table as JSON, {column: values}, for assets/explorers.js."""
        record, name = self._record(name)
        recorded = self._find("table", name, record.facts["tables"])
        columns = zip(recorded["columns"], zip(*recorded["rows"], strict=True), strict=True)
        text = json.dumps(dict(columns)).replace("<", r"\u003c")  # would end the element
        return f'<script type="application/json" class="explorer-data">{text}</script>'

    def figure(self, name: str, *, alt: str = "", caption: str = "") -> str:
        """A recorded figure: an image, and its caption as emphasized text below it."""
        if not alt:
            raise BuildError(f'{self._page}: figure("{name}") needs alt="what it shows, in words"')
        record, name = self._record(name)
        self._find("figure", name, dict.fromkeys(record.facts["figures"], True))
        file = f"records/{record.name}/{name}.svg"
        image = f"![{alt}]({posixpath.relpath(file, posixpath.dirname(self._page))})"
        return f"{image}\n*{caption}*" if caption else image

    def _record(self, name: str) -> tuple[Record, str]:
        script, _, name = name.rpartition(":")
        if not self._records:
            raise BuildError(f"{self._page}: its front matter names no scripts")
        by_stem = {posixpath.basename(record.name): record for record in self._records}
        return (self._find("script", script, by_stem) if script else self._records[0]), name

    def _cell(self, name: str) -> dict:
        record, name = self._record(name)
        code = {key: cell for key, cell in record.cells.items() if cell["cell_type"] == "code"}
        return self._find("cell", name, code)

    def _find(self, kind: str, name: str, among: dict):
        if name not in among:
            raise _unknown(self._page, kind, name, list(among))
        return among[name]


def printed_text(cell: dict) -> str:
    """What a notebook cell wrote to stdout."""
    outputs = [output for output in cell["outputs"] if output["output_type"] == "stream"]
    return "".join("".join(output["text"]) for output in outputs).rstrip()


def markdown_table(columns: dict[str, tuple]) -> str:
    """A Markdown table; columns of numbers are set right, with the same decimals throughout."""
    cells, rules = [], []
    for values in columns.values():
        numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        cells.append(_aligned(values) if numeric else [str(value) for value in values])
        rules.append("---:" if numeric else "---")
    rows = [list(columns), rules, *zip(*cells, strict=True)]
    # A range such as 89.8\u201391.0 stays on one line: a word joiner on each side of its dash.
    escaped = [
        [
            re.sub(r"(?<=\d)\u2013(?=\d)", "\u2060\u2013\u2060", cell).replace("|", r"\|")
            for cell in row
        ]
        for row in rows
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in escaped)


def _aligned(values: tuple) -> list[str]:
    texts = [str(value) for value in values]
    if any("e" in text for text in texts) or not any("." in text for text in texts):
        return texts
    decimals = max(len(text.partition(".")[2]) for text in texts)
    return [f"{value:.{decimals}f}" for value in values]


def _fence(language: str, text: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _unknown(page: str, kind: str, name: str, known: list[str]) -> BuildError:
    nearest = difflib.get_close_matches(name, known, n=3, cutoff=0)
    return BuildError(f"{page}: no {kind} {name!r}; nearest: {', '.join(nearest) or 'none'}")


def foot(records: list[Record]) -> dict:
    """What the foot of a page says about the runs that it shows."""
    runs = [record.facts["environment"] for record in records]
    versions = {package: number for run in runs for package, number in run["versions"].items()}
    return {
        "names": [record.name for record in records],
        "versions": {"Python": runs[0]["python"]} | dict(sorted(versions.items())),
        "cpus": list(dict.fromkeys(f"{run['cpu']} ({', '.join(run['isa'])})" for run in runs)),
        "date": max(record.facts["date"] for record in records),
    }


def shown_in(docs: Path) -> dict[str, tuple[str, str]]:
    """For each script's name the page that shows it, and its title.

    Of several, the page of the same name, then one of the same folder, and a map last.
    """
    found: dict[str, list[tuple]] = {}
    for file in docs.rglob("*.md"):
        meta = mkdocs_meta.get_data(file.read_text(encoding="utf-8"))[1]
        page = file.relative_to(docs).as_posix()
        stem = page.removesuffix(".md").replace("-", "_")
        for name in (script.removesuffix(".py") for script in meta.get("scripts", [])):
            elsewhere = posixpath.dirname(stem) != posixpath.dirname(name)
            rank = (not name.startswith(stem), elsewhere, file.name == "index.md", page)
            found.setdefault(name, []).append((rank, page, meta["title"]))
    return {name: min(pages)[1:] for name, pages in found.items()}


def link_scripts(markdown: str, page: str, docs: Path) -> str:
    """Replace each `script:<name>`, as a recorded table has it, by a link to the script's page."""
    if "script:" not in markdown:
        return markdown
    pages = shown_in(docs)

    def linked(found: re.Match) -> str:
        if found[1] not in pages:
            raise _unknown(page, "page that shows the script", found[1], list(pages))
        address, title = pages[found[1]]
        return f"[{title}]({posixpath.relpath(address, posixpath.dirname(page))})"

    return re.sub(r"\bscript:([\w/]+)", linked, markdown)


def link_figures(page_html: str, url: str, docs: Path) -> str:
    """Make links of the shapes that a figure gave the address `script:<name>|<what it is>`."""
    if '"script:' not in page_html:
        return page_html
    pages = shown_in(docs)

    def linked(found: re.Match) -> str:
        name, _, label = html.unescape(found[1]).partition("|")
        if name not in pages:
            raise _unknown(url, "page that shows the script", name, list(pages))
        address = re.sub(r"(index)?\.md$", "/", pages[name][0]).replace("//", "/")
        return f'<a href="{get_relative_url(address, url)}" aria-label="{html.escape(label)}">'

    # matplotlib gives each path of a shape, line and head of an arrow, a link of its own.
    again = r'(<a xlink:href="(script:[^"]+)"[^>]*>(?:(?!</a>).)*)</a>\s*<a xlink:href="\2"[^>]*>'
    page_html = re.sub(again, r"\1", page_html, flags=re.DOTALL)
    page_html = re.sub(r'<a xlink:href="script:([^"]+)"[^>]*>', linked, page_html)
    # An image has no parts for a screen reader: a figure with links is a group.
    image_with_links = r'(<svg )role="img"((?:(?!</svg>).)*?<a href)'
    return re.sub(image_with_links, r'\1role="group"\2', page_html, flags=re.DOTALL)


def inline_figures(page_html: str, read: Callable[[str], str]) -> str:
    """Replace each SVG image that is a paragraph of its own by a themed, captioned <figure>.

    `read` returns the SVG of an image's address.
    """
    count = itertools.count(1)

    def inlined(image: re.Match) -> str:
        alt, address, caption = image.groups()
        svg = inline_svg(read(address), alt, f"figure{next(count)}-")
        return f"<figure>{svg}{f'<figcaption>{caption}</figcaption>' if caption else ''}</figure>"

    return IMAGE.sub(inlined, page_html)


def inline_svg(svg: str, label: str, prefix: str) -> str:
    """An SVG for use inside a page: an accessible name, and ids that no other figure has."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{prefix}", svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def render_maths(page_html: str, page: str) -> str:
    """Replace what arithmatex has marked by KaTeX's HTML and MathML."""

    def rendered(formula: re.Match) -> str:
        tag, source, punctuation = formula.groups()
        tex = html.unescape(source).strip()
        try:
            return f'<{tag} class="maths">{render_tex(tex, tag == "div")}{punctuation}</{tag}>'
        except ValueError as error:
            raise BuildError(f"{page}: in the formula {tex}: {error}") from error

    return MATHS.sub(rendered, page_html)


@cache
def render_tex(tex: str, display: bool) -> str:
    """One formula as HTML and MathML; raises ValueError with KaTeX's message."""
    try:
        options = {"displayMode": display, "strict": "error"}
        return _katex().call("katex.renderToString", tex, options)
    except JSEvalException as error:
        raise ValueError(str(error).partition("ParseError: ")[2].partition("\n")[0]) from error


@cache
def _katex() -> MiniRacer:
    engine = MiniRacer()
    atexit.register(engine.close)  # left to the interpreter's end, it can hang there
    engine.eval((Path(__file__).parent / "katex.min.js").read_text(encoding="utf-8"))
    return engine
