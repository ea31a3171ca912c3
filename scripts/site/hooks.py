"""What the site adds to MkDocs: expanded pages, notebooks as pages, and the foot of each page.

The events are in the order in which MkDocs runs them. pages.py does the work.
"""

import re
from html import escape, unescape
from pathlib import Path
from urllib.parse import urljoin

import markdown as python_markdown
import pages
from mkdocs.exceptions import BuildError
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File
from mkdocs_jupyter.config import settings

FIGURE = re.compile(r"!\[(.*?)\]\(\S*?(records/\S+\.svg)\)")

_alts: dict[str, str] = {}  # what the pages say that each figure shows


def on_config(config):
    """Name the template of notebooks, and the fence of recorded outputs."""
    settings.templates_dir = str(Path(__file__).parent / "notebook")
    fence = {"name": "output", "class": "output", "format": _output_block}
    config.mdx_configs["pymdownx.superfences"] = {"custom_fences": [fence]}


@event_priority(-100)  # after mkdocs-jupyter, which makes pages of the notebooks among the files
def on_files(files, config):
    """Move each notebook to examples/<name>/, and publish it and its script beside that."""
    for file in list(files):
        if name := _notebook(file):
            file.dest_uri = f"examples/{name}/index.html"
            file.url = f"examples/{name}/"
            file.abs_dest_path = str(Path(config.site_dir) / file.dest_uri)
            files.remove(file)
            files.append(file)  # last: a notebook shows what the pages say of its figures
            script = Path(config.docs_dir).parent / "examples" / f"{name}.py"
            for source in (script, Path(file.abs_src_path)):
                address = f"examples/{name}{source.suffix}"
                files.append(File.generated(config, address, abs_src_path=str(source)))


def on_page_markdown(markdown, page, config, files):
    """Expand a page from its records; keep a notebook out of the search."""
    if _notebook(page.file):
        page.meta |= {"hide": ["toc"], "search": {"exclude": True}}
        return markdown
    scripts = page.meta.get("scripts", [])
    markdown = pages.expand(markdown, page.file.src_uri, scripts, _records(config))
    markdown = pages.link_scripts(markdown, page.file.src_uri, Path(config.docs_dir))
    _alts.update({address: alt for alt, address in FIGURE.findall(markdown)})
    return markdown


def on_page_content(html, page, config, files):
    """Put a notebook, which our template has made Markdown, through the site's own Markdown."""
    if not (name := _notebook(page.file)):
        return html
    source = unescape(html.rpartition("<style>")[0])  # mkdocs-jupyter appends its style sheet
    for file in (_records(config) / name).glob("*.svg"):
        address = f"records/{name}/{file.name}"
        alt = _alts.get(address, file.stem.replace("_", " "))
        source = source.replace(f"![]({file.name})", f"![{alt}]({_to_root(page)}{address})")
    return python_markdown.markdown(
        source, extensions=config.markdown_extensions, extension_configs=config.mdx_configs
    )


@event_priority(-100)  # after the search plugin, which should index TeX and no labels of axes
def on_page_context(context, page, config, nav):
    """Finish the HTML, and collect what the foot says."""

    def read(address: str) -> str:
        file = Path(config.docs_dir) / urljoin(page.url, address)
        if not file.is_file():
            raise BuildError(f"{page.file.src_uri}: no figure {address}")
        return file.read_text(encoding="utf-8")

    page.content = pages.inline_figures(page.content, read)
    page.content = pages.link_figures(page.content, page.url, Path(config.docs_dir))
    page.content = pages.render_maths(page.content, page.file.src_uri)
    name = _notebook(page.file)
    scripts = [name] if name else page.meta.get("scripts", [])
    records = pages.load_records(page.file.src_uri, scripts, _records(config))
    if records:
        context["foot"] = pages.foot(records)
    if name:
        handbook = [file.page for file in context["pages"]]
        context["shown_in"] = [
            other for other in handbook if f"{name}.py" in other.meta.get("scripts", [])
        ]
    return context


def _records(config) -> Path:
    return Path(config.docs_dir) / "records"


def _notebook(file) -> str:
    """The name of the record whose notebook this file is, or an empty string."""
    found = re.fullmatch(r"records/(.+)/notebook\.ipynb", file.src_uri)
    return found[1] if found else ""


def _to_root(page) -> str:
    return "../" * page.url.count("/")


def _output_block(source, language, css_class, options, md, **kwargs) -> str:
    # A long line is a message, to be read; a table keeps its columns, and scrolls.
    long = max(map(len, source.splitlines()), default=0) > 100
    table = re.search(r"^-{3,}( +-{3,})+$", source, re.MULTILINE)
    wrap = " output--wrap" if long and not table else ""
    code = f"<pre><code>{escape(source, quote=False)}</code></pre>"
    return f'<div class="output{wrap} no-copy" role="group" aria-label="Output">{code}</div>'
