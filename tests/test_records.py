"""Every script runs as a plain program and finds again what its committed record says."""

import ast
import hashlib
import json
import os
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest

import execute
import records
import runner
from handbook import data
from handbook.figure import figure, plt
from handbook.record import TIMING, record, table

SCRIPTS = records.scripts()
NAMES = [records.name(script) for script in SCRIPTS]


def printed(script: Path) -> str:
    """What the committed notebook of `script` printed."""
    notebook = nbformat.read(records.folder(script) / "notebook.ipynb", as_version=4)
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", ())]
    return "".join(o.text for o in outputs if o.output_type == "stream")


@pytest.fixture(scope="session")
def plain_runs(request, tmp_path_factory) -> dict[Path, dict]:
    """Each selected script run as `python examples/<path>.py`, two at a time, from elsewhere."""
    tests = [item for item in request.session.items if "plain_runs" in item.fixturenames]
    selected = [item.callspec.params["script"] for item in tests]
    done: dict[Path, dict] = {}
    pool = runner.Runner(jobs=2)

    def run(script: Path) -> str:
        folder = tmp_path_factory.mktemp("run")
        out = folder / "out"
        out.mkdir()
        result = pool.start([sys.executable, script], cwd=folder, env={"HANDBOOK_RECORD": str(out)})
        done[script] = {"code": result.returncode, "stderr": result.stderr, "text": result.stdout}
        done[script] |= execute.collect(out)
        return result.stderr if result.returncode else ""

    pool.map(run, runner.longest_first(runner.with_producers(selected)), records.before)
    return done


def test_there_are_scripts():
    assert len(SCRIPTS) >= 4


@pytest.mark.parametrize("script", SCRIPTS, ids=NAMES)
def test_record_is_fresh(script):
    assert records.stale(script) == "", f"run: python3 scripts/build.py --execute {script}"


@pytest.mark.parametrize("script", SCRIPTS, ids=NAMES)
def test_plain_run_agrees_with_the_record(script, plain_runs):
    fresh = plain_runs[script]
    assert fresh["code"] == 0, fresh["stderr"]
    assert fresh["stderr"] == "", "an example prints nothing to stderr"
    assert records.differences(records.load(script) | {"text": printed(script)}, fresh) == []


@pytest.mark.parametrize("script", SCRIPTS, ids=NAMES)
def test_script_is_one_idea_that_asserts(script):
    assert script_problems(script.read_text("utf-8")) == []


def script_problems(source: str) -> list[str]:
    found = []
    if (lines := len(source.splitlines())) > 100:
        found.append(f"{lines} lines; at most 100")
    tree = ast.parse(source)
    if not any(isinstance(node, ast.Assert) for node in ast.walk(tree)):
        found.append("asserts nothing")
    imports = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level]
    if imports or "argparse" in source:
        found.append("a script has no relative imports and no argparse")
    return found


def test_no_record_without_a_script():
    found = {path.parent for path in records.RECORDS.rglob("record.json")}
    assert found == {records.folder(script) for script in SCRIPTS}


# Planted faults


def test_catches_a_long_or_silent_script():
    assert script_problems("x = 1\n") == ["asserts nothing"]
    assert script_problems("assert 1\n" * 101) == ["101 lines; at most 100"]


RECORD = {
    "numbers": {
        "size": {"value": 100, "tolerance": 0, "because": ""},
        "accuracy": {"value": 88.4, "tolerance": 0.3, "because": "kernels"},
        "latency": {"value": 5.0, "tolerance": "timing", "because": ""},
        "interval": {"value": "87.8 to 89.0", "tolerance": 0.3, "because": "kernels"},
        "commit": {
            "value": "43e54391be",
            "tolerance": 0,
            "because": "",
        },  # no number, though like inf
    },
    "tables": {
        "results": {
            "columns": ["model", "accuracy %"],
            "rows": [["float", 88.4], ["int8", 88.1]],
            "tolerance": {"accuracy %": 0.3},
            "because": "kernels",
        }
    },
    "figures": ["ranges"],
    "text": "model  accuracy\n-----  ----\nfloat  88.4\n",
}


def changed(*path_and_value) -> dict:
    """RECORD with one value changed."""
    copy = json.loads(json.dumps(RECORD))
    *path, last, value = path_and_value
    place = copy
    for step in path:
        place = place[step]
    place[last] = value
    return copy


@pytest.mark.parametrize(
    "fresh",
    [
        changed("numbers", "size", "value", 101),
        changed("numbers", "accuracy", "value", 88.8),
        changed("numbers", "interval", "value", "87.8 to 89.5"),
        changed("numbers", "interval", "value", "87.8 and 89.0"),
        changed("numbers", {}),
        changed("tables", "results", "rows", 1, 1, 87.7),
        changed("tables", "results", "rows", 1, 0, "int4"),
        changed("tables", "results", "rows", []),
        changed("tables", {}),
        changed("figures", []),
        changed("text", "model  accuracy\n-----  ----\nint8  88.4\n"),
    ],
)
def test_catches_drift(fresh):
    assert len(records.differences(RECORD, fresh)) >= 1


@pytest.mark.parametrize(
    "fresh",
    [
        RECORD,
        changed("numbers", "latency", "value", 50.0),
        changed("numbers", "accuracy", "value", 88.6),
        changed("tables", "results", "rows", 0, 1, 88.2),
        changed("text", "model   accuracy\n------  -----\nfloat   9.25\n"),
    ],
)
def test_allows_what_the_script_declared(fresh):
    assert records.differences(RECORD, fresh) == []


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A small repository in which `records` looks for everything."""
    places = {"ROOT": ".", "EXAMPLES": "examples", "RECORDS": "docs/records"}
    for name, place in places.items():
        monkeypatch.setattr(records, name, tmp_path / place)
    monkeypatch.setattr(data, "DATA", tmp_path / "examples" / "data")
    files = {
        "constraints.txt": "numpy==2\n",
        "examples/handbook/data.py": '"""Doc."""\nimport gzip\nFILE = "photos/a.txt"\n',
        "examples/handbook/other.py": "x = 1\n",
        "examples/one.py": "from handbook import data\n",
        "examples/two.py": 'from handbook.record import artifact\nartifact("one/model.bin")\n',
        "examples/data/photos/a.txt": "photo",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    digest = hashlib.sha256(b"photo").hexdigest()
    (tmp_path / "examples/data/photos/SHA256SUMS").write_text(f"{digest}  a.txt\n")
    return tmp_path


def inputs(script: Path) -> dict[str, str]:
    for function in (records.pins, records.read_source, records.sources, records.check_data):
        function.cache_clear()
    return records.inputs(script, ["numpy"])


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("constraints.txt, numpy", "numpy==3\n"),
        ("examples/one.py", "from handbook import data  # another comment\n"),
        ("examples/handbook/data.py", 'import zlib\nFILE = "photos/a.txt"\n'),
        ("examples/data/photos/SHA256SUMS", ""),
    ],
)
def test_key_follows(tree, file, text):
    before = inputs(tree / "examples/one.py")
    assert len(before) == 4, before
    (tree / file.partition(",")[0]).write_text(text)
    after = inputs(tree / "examples/one.py")
    assert [path for path in before if before[path] != after.get(path)] == [file]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("examples/handbook/other.py", "x = 2\n"),
        ("constraints.txt", "Another_Package==1\nnumpy==2\n"),
        ("examples/handbook/data.py", '"""New."""\nimport gzip  # why\nFILE = "photos/a.txt"\n'),
    ],
)
def test_key_ignores(tree, file, text):
    before = inputs(tree / "examples/one.py")
    (tree / file).write_text(text)
    os.utime(tree / "examples/one.py")
    assert inputs(tree / "examples/one.py") == before


def test_artifacts_make_the_task_graph(tree):
    one, two = tree / "examples/one.py", tree / "examples/two.py"
    assert records.producers(two) == {one} and records.producers(one) == set()
    before = inputs(two)
    one.write_text("x = 2\n")
    assert inputs(two) != before
    order = []
    runner.Runner(2).map(lambda script: order.append(script) or "", [two, one], records.producers)
    assert order == [one, two]
    problems = runner.Runner(2).map(lambda script: "broken", [two, one], records.producers)
    assert problems == {one: "broken", two: "two: not run, needs one"}


def test_the_atlas_follows_the_conversions_that_are_recorded(tree):
    one, atlas = tree / "examples/one.py", tree / "examples/atlas.py"
    one.write_text("from handbook.conversions import conversions\n")
    atlas.write_text("from handbook.atlas import recorded\n")
    records.read_source.cache_clear()
    assert records.before(atlas) == {one} and records.producers(atlas) == set()
    before = inputs(atlas)
    record = records.folder(one) / "record.json"
    record.parent.mkdir(parents=True)
    facts = {"environment": {"versions": {}}, "tables": {"conversions": {"rows": [["ONNX"]]}}}
    record.write_text(json.dumps(facts))
    after = inputs(atlas)
    assert after != before
    record.write_text(json.dumps(facts | {"numbers": {"seconds": 3}}))
    assert inputs(atlas) == after  # nothing else of the record counts


def test_a_damaged_data_file_is_named(tree):
    (tree / "examples/data/photos/a.txt").write_text("damaged")
    with pytest.raises(SystemExit, match=r"photos/a\.txt: damaged, SHA-256 is .* git"):
        inputs(tree / "examples/one.py")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('"""T."""\n# %% a\n1 / 0\n', 'failed in cell "a"'),
        ('"""T."""\n# %% a\nimport warnings\nwarnings.warn("old")\n', "printed to stderr in cell"),
        ('"""T."""\n# %% a\nprint(__import__("os").path.expanduser("~/x"))\n', "printed a path"),
        ('"""T."""\n# %% a\nimport tempfile\nprint(tempfile.mkdtemp() + "/x")\n', "printed a path"),
        ('"""T."""\n# %%\nx = 1\n', "a cell begins with `# %% name`"),
        ('"""T."""\n# %% a\nx = 1\n# %% a\nx = 1\n', "two cells have the name 'a'"),
        ('"""A `T`."""\n# %% a\nx = 1\n', "is plain words"),
        ("# %% a\nx = 1\n", "a script is a docstring, then cells"),
    ],
)
def test_a_script_off_the_pattern_makes_no_record(tree, tmp_path, source, message):
    script, out = tree / "examples/one.py", tmp_path / "out"
    out.mkdir()
    script.write_text(source)
    with pytest.raises(execute.ScriptError, match=message):
        execute.execute(script, out)
    assert not (out / "record.json").exists()


def test_what_a_library_displays_in_notebooks_alone_is_dropped(tree, tmp_path):
    script, out = tree / "examples/one.py", tmp_path / "out"
    out.mkdir()
    program = """from IPython.display import HTML, display
print("printed")
display(HTML("shown in a notebook"))
display({"image/svg+xml": "<svg/>"}, raw=True)
"""
    script.write_text(f'"""T."""\n# %% a\n{program}')
    execute.execute(script, out)
    outputs = nbformat.read(out / "notebook.ipynb", as_version=4).cells[1].outputs
    assert [output.output_type for output in outputs] == ["stream", "display_data"]
    assert outputs[0].text == "printed\n" and outputs[1].data["image/svg+xml"] == "<svg/>"


def test_a_syntax_error_is_one_line(tree):
    (tree / "examples/one.py").write_text("x = 1\ny = (\n")
    with pytest.raises(SystemExit, match=r"examples/one\.py, line 2: '\(' was never closed"):
        inputs(tree / "examples/one.py")


# What a script calls


@pytest.mark.parametrize(
    "call",
    [
        lambda: record(accuracy=88.4, tolerance=0.3),  # no reason
        lambda: record(accuracy=float("nan")),
        lambda: record(accuracy=[88.4]),
        lambda: table("t", [{"a": 1}, {"b": 1}]),
        lambda: table("t", [{"a": 1}], tolerance={"b": 1}, because="no such column"),
        lambda: table("t", [{"a": 1}], tolerance={"a": 1}),  # no reason
        lambda: table("t", [{"a": 1}], tolerance=1, because="no column"),
    ],
)
def test_a_record_refuses(call, tmp_path, monkeypatch):
    monkeypatch.setenv("HANDBOOK_RECORD", str(tmp_path))
    with pytest.raises(ValueError):
        call()
    assert not list(tmp_path.iterdir())


def test_a_record_collects_what_was_called(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HANDBOOK_RECORD", str(tmp_path))
    record(accuracy=np.float32(0.5), size=np.int64(3), tolerance=0.1, because="kernels")
    record(ms=1.5, tolerance=TIMING)
    table("results", [{"model": "float", "ms": 2.0}], tolerance={"ms": TIMING})
    assert "model" in capsys.readouterr().out
    found = execute.collect(tmp_path)
    assert found["numbers"]["accuracy"] == {"value": 0.5, "tolerance": 0.1, "because": "kernels"}
    assert found["numbers"]["ms"]["tolerance"] == "timing"
    assert found["tables"]["results"]["rows"] == [["float", 2.0]]
    record(size=1)
    record(size=2)
    with pytest.raises(execute.ScriptError, match="'size' is recorded twice"):
        execute.collect(tmp_path)


def test_a_figure_is_themed_and_reproducible(tmp_path, monkeypatch):
    monkeypatch.setenv("HANDBOOK_RECORD", str(tmp_path))
    for name in ("first", "second"):
        fig, ax = plt.subplots()
        ax.plot([1, 2], label="a")
        ax.legend()
        figure(name, fig)
    first, second = ((tmp_path / f"{name}.svg").read_text() for name in ("first", "second"))
    assert first == second
    assert "var(--figure-1, #1f77b4)" in first and "var(--figure-ink, #000000)" in first
    assert "<style" not in first and "DejaVu" not in first and "<text" in first
