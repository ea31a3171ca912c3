"""Execute one example as a notebook: `python scripts/execute.py SCRIPT FOLDER` (see runner.py).

The folder receives the whole record: record.json, notebook.ipynb and the figures.
"""

import ast
import json
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from datetime import date
from importlib import metadata
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

import records
from handbook.measure import cpu

NOT_SHOWN = {"about-quantization", "archspec", "ipython", "tabulate"}  # they compute no result
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class ScriptError(Exception):
    """A script failed; the message names its path, its cell and the traceback."""


def execute(script: Path, out: Path) -> None:
    """Run `script` as a notebook and write its whole record to the folder `out`."""
    started = time.perf_counter()
    ran_with, notebook = environment(script), as_notebook(script)
    inputs = records.inputs(script, ran_with["versions"])
    scratch = out / "scratch"  # the working folder: what a script writes here is thrown away
    scratch.mkdir()
    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(scratch)}},
        # A plain run shows no value of a last expression, so a notebook must not either.
        extra_arguments=["--InteractiveShell.ast_node_interactivity=none"],
    )
    try:
        client.execute()
    except CellExecutionError as error:
        raise ScriptError(_failure(script, notebook, ANSI.sub("", error.traceback))) from None
    keep_what_a_plain_run_shows(notebook)
    _check_clean(script, notebook)
    shutil.rmtree(scratch)
    seconds = time.perf_counter() - started

    record = {
        "script": script.relative_to(records.ROOT).as_posix(),
        "inputs": inputs,
        "date": date.today().isoformat(),
        "seconds": round(seconds, 1),
        "environment": ran_with,
        **collect(out),
    }
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.execution_count = None
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(notebook, out / "notebook.ipynb")
    _write_json(out / "record.json", record)


def as_notebook(script: Path):
    """The script as a notebook: its docstring as Markdown, a cell for each `# %% name`."""
    text = script.read_text(encoding="utf-8")
    notebook = jupytext.reads(text, fmt="py:percent")
    title, *cells = notebook.cells
    docstring = ast.get_docstring(ast.parse(text))
    names = [cell.metadata.get("title", "") for cell in cells]
    path = script.relative_to(records.ROOT)
    if not docstring or not cells:
        raise ScriptError(f"{path}: a script is a docstring, then cells, `# %% name`")
    for cell_name in names:
        if not re.fullmatch("[a-z][a-z0-9_]*", cell_name):
            raise ScriptError(
                f"{path}: a cell begins with `# %% name`, in snake_case, not `# %% {cell_name}`"
            )
        if names.count(cell_name) > 1:
            raise ScriptError(f"{path}: two cells have the name {cell_name!r}")
    headline, _, rest = docstring.partition("\n")
    if "`" in headline:  # the theme's link to the title would miss it
        raise ScriptError(f"{path}: the title, its docstring's first line, is plain words")
    title = nbformat.v4.new_markdown_cell(f"# {headline.rstrip('.')}\n{rest}".strip(), id="title")
    for cell, cell_name in zip(cells, names, strict=True):
        cell.id = cell_name
    notebook.cells = [title, *cells]
    return notebook


def keep_what_a_plain_run_shows(notebook) -> None:
    """Drop what a library displays in notebooks alone, such as rich's progress; figures stay."""
    for cell in notebook.cells:
        if outputs := cell.get("outputs"):
            cell.outputs = [
                output
                for output in outputs
                if output.output_type == "stream" or "image/svg+xml" in output.get("data", ())
            ]


def collect(out: Path) -> dict:
    """Numbers, tables and figures that a run left in `out`; removes its calls.jsonl."""
    found = {"numbers": {}, "tables": {}, "figures": sorted(f.stem for f in out.glob("*.svg"))}
    calls = out / "calls.jsonl"
    for line in calls.read_text(encoding="utf-8").splitlines() if calls.exists() else []:
        call = json.loads(line)
        kind = "number" if "number" in call else "table"
        label = call.pop(kind)
        if label in found[f"{kind}s"]:
            raise ScriptError(f"the {kind} {label!r} is recorded twice")
        found[f"{kind}s"][label] = call
    calls.unlink(missing_ok=True)
    return found


def environment(script: Path) -> dict:
    """Python, platform, CPU and the versions of the packages that `script` imports."""
    processor = cpu()
    modules = {
        m.split(".")[0] for s in records.sources(script) for m in records.read_source(s).modules
    }
    owners = metadata.packages_distributions()
    packages = sorted({owners[module][0] for module in modules & owners.keys()} - NOT_SHOWN)
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": processor.name,
        "isa": list(processor.isa),
        "versions": {package: metadata.version(package) for package in packages},
    }


def _failure(script: Path, notebook, traceback: str) -> str:
    cell = next(c for c in notebook.cells for o in c.get("outputs", ()) if o.output_type == "error")
    path = script.relative_to(records.ROOT)
    return f'{path} failed in cell "{cell.id}":\n{traceback}'


def _check_clean(script: Path, notebook) -> None:
    path = script.relative_to(records.ROOT)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            text = str(output.get("text", ""))
            if output.get("name") == "stderr":
                raise ScriptError(
                    f'{path} printed to stderr in cell "{cell.id}"; avoid the warning, or catch '
                    f"and show it on purpose:\n{text}"
                )
            for private in (records.ROOT, Path.home(), tempfile.gettempdir()):
                if str(private) + os.sep in text:
                    raise ScriptError(f'{path} printed a path of this machine in cell "{cell.id}"')


def _write_json(path: Path, content: dict) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False)
    # Innermost lists on one line: a table's row is then a line of the diff.
    text = re.sub(r"\[\n([^\[\]{}]*)\n\s*\]", lambda m: f"[{' '.join(m[1].split())}]", text)
    path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        execute(Path(sys.argv[1]), Path(sys.argv[2]))
    except ScriptError as error:
        sys.exit(str(error))
