"""The two commands: bad input gets one clear line and loses nothing.

Each test runs scripts/build.py in a small copy of the repository: its scripts and its handbook,
three tiny examples, and a link to this environment.
"""

import ast
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pages
import pytest

import environment
import records

ROOT = records.ROOT
FAST = '"""Fast."""\n# %% go\nfrom handbook.record import record\n\nrecord(x=1)\nassert True\n'
BROKEN = '"""Broken."""\n# %% first\nx = 1\n# %% second\nassert x == 2, "x is 1"\n'
SLOW = '"""Slow."""\n# %% go\nimport time\n\ntime.sleep(60)\nassert True\n'
MKDOCS = "site_name: Copy\ntheme: material\n"


@pytest.fixture
def repo(tmp_path) -> Path:
    if environment._installed() != environment._fingerprint():
        pytest.fail("run scripts/test.py, not pytest: a stale environment would be installed anew")
    repo = tmp_path / "repo"
    for folder in ("scripts", "examples/handbook"):
        shutil.copytree(ROOT / folder, repo / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / file, repo / file)
    (repo / ".venv").symlink_to(sys.prefix)
    (repo / "docs").mkdir()
    (repo / "docs" / "index.md").write_text("# Home\n")
    (repo / "mkdocs.yml").write_text(MKDOCS)
    # The copy's examples have no pages; test_rules.py tests the rules.
    (repo / "scripts" / "rules.py").write_text("def problems():\n    return []\n")
    (repo / "examples" / "alpha.py").write_text(FAST)
    return repo


def build(repo: Path, *arguments: str, **options) -> subprocess.CompletedProcess:
    """Run scripts/build.py in the copy, with the copy's own `handbook`."""
    return subprocess.run(
        command(repo, *arguments), env=variables(repo), capture_output=True, text=True, **options
    )


def command(repo: Path, *arguments: str) -> list[str]:
    return [str(repo / ".venv" / "bin" / "python"), str(repo / "scripts" / "build.py"), *arguments]


def variables(repo: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(repo / "examples")}


def has_record(repo: Path, name: str) -> bool:
    """Whether a record is there; fails if it is not whole."""
    folder = repo / "docs" / "records" / name
    if not folder.exists():
        return False
    assert json.loads((folder / "record.json").read_text())["script"] == f"examples/{name}.py"
    assert json.loads((folder / "notebook.ipynb").read_text())["cells"]
    return True


def test_a_stale_script_is_executed_once_and_the_site_built_once(repo):
    first, second = build(repo, cwd="/"), build(repo, cwd="/")
    assert "ok alpha" in first.stdout and "The site is in site/" in first.stdout, first.stderr
    assert second.stdout.splitlines() == [
        "Every record is current; nothing to execute.",
        "The site is up to date.",
    ]
    (repo / "docs" / "index.md").write_text("# Home again\n")
    third = build(repo)
    assert "nothing to execute" in third.stdout and "The site is in site/" in third.stdout
    (repo / "examples" / "alpha.py").write_text(FAST.replace("x=1", "x=2"))
    assert "ok alpha" in build(repo).stdout
    record = json.loads((repo / "docs" / "records" / "alpha" / "record.json").read_text())
    assert record["numbers"]["x"]["value"] == 2


def test_another_python_is_refused_in_one_line(repo):
    pretend = (
        "import sys, runpy; sys.version_info = (3, 13, 1, 'final', 0); sys.argv = sys.argv[1:]; "
    )
    pretend += "sys.path.insert(0, sys.argv[0].rpartition('/')[0]); runpy.run_path(sys.argv[0])"
    for script in ("build.py", "test.py"):
        done = subprocess.run(
            [sys.executable, "-c", pretend, str(repo / "scripts" / script)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert done.stderr.startswith("This is Python 3.13.1; the handbook's frameworks are pinned")
        assert "Python 3.11" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("script", ["environment.py", "build.py", "test.py"])
def test_an_old_python_reads_the_script_that_refuses_it(script):
    ast.parse((ROOT / "scripts" / script).read_text("utf-8"), feature_version=(3, 6))


def test_without_a_network_one_line_and_a_second_run_continues(repo):
    (repo / ".venv").unlink()
    offline = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PIP_")},
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_CACHE_DIR": str(repo / "empty-cache"),
    }
    base = Path(sys.base_prefix) / "bin" / "python3.11"
    for _ in range(2):
        done = subprocess.run(
            [base, repo / "scripts" / "build.py"], env=offline, capture_output=True, text=True
        )
        assert done.returncode == 1
        assert done.stderr.startswith(
            "The installation stopped: no package index could be reached."
        )
        assert "run the same command again" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("wrong", ["examples/alhpa.py", "alpah", "alpha.ipynb"])
def test_an_unknown_example_names_the_nearest(repo, wrong):
    done = build(repo, "--execute", wrong)
    assert done.returncode == 1
    assert done.stderr == f"There is no example {wrong}. Did you mean examples/alpha.py?\n"


def test_a_damaged_data_file_is_named_with_its_cure(repo):
    shutil.copytree(ROOT / "examples/data/fashion_mnist", repo / "examples/data/fashion_mnist")
    images = repo / "examples/data/fashion_mnist/t10k-images-idx3-ubyte.gz"
    content = bytearray(images.read_bytes())
    content[1000] ^= 1
    images.write_bytes(content)
    uses = FAST.replace(
        "record(x=1)",
        'record(x=1)\nfrom handbook.data import fashion_mnist\n\nfashion_mnist("test")',
    )
    (repo / "examples" / "uses.py").write_text(uses)
    shown = "examples/data/fashion_mnist/t10k-images-idx3-ubyte.gz"
    by_hand = subprocess.run(
        [sys.executable, repo / "examples/uses.py"],
        env=variables(repo),
        capture_output=True,
        text=True,
    )
    for done in (build(repo), by_hand):
        assert done.returncode == 1
        assert shown in done.stderr and "SHA-256" in done.stderr, done.stderr
        assert f"git checkout -- {shown}" in done.stderr and done.stderr.count("\n") == 1


def test_a_failing_script_costs_only_itself_and_a_second_run_resumes(repo):
    (repo / "examples" / "broken.py").write_text(BROKEN)
    (repo / "examples" / "gamma.py").write_text(FAST)
    done = build(repo)
    assert done.returncode == 1
    assert 'examples/broken.py failed in cell "second":' in done.stderr
    assert "AssertionError: x is 1" in done.stderr and "1 failed" in done.stderr
    assert [has_record(repo, name) for name in ("alpha", "broken", "gamma")] == [True, False, True]
    (repo / "examples" / "broken.py").write_text(BROKEN.replace("x == 2", "x == 1"))
    again = build(repo)
    assert again.returncode == 0, again.stderr
    assert "ok broken" in again.stdout and "alpha" not in again.stdout
    assert has_record(repo, "broken")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_whole_records_only(repo, how):
    (repo / "examples" / "slow.py").write_text(SLOW)
    process = subprocess.Popen(
        command(repo),
        env=variables(repo),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not has_record(repo, "alpha") and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(how)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 1 and "Traceback" not in stderr
    assert "Finished records are kept" in stderr
    assert has_record(repo, "alpha") and not has_record(repo, "slow")
    (repo / "examples" / "slow.py").write_text(SLOW.replace("60", "0"))
    again = build(repo)
    assert "ok slow" in again.stdout and "alpha" not in again.stdout, again.stderr
    assert not list((repo / ".cache" / "executing").glob("*"))


def test_an_interrupt_between_two_moves_is_mended(repo):
    build(repo)
    aside = repo / ".cache" / "replaced" / "alpha"
    aside.parent.mkdir(parents=True, exist_ok=True)
    (repo / "docs" / "records" / "alpha").rename(aside)
    assert "nothing to execute" in build(repo).stdout
    assert has_record(repo, "alpha")


def test_a_port_in_use_gets_one_line(repo):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = build(repo, "--serve", "--port", str(port))
    assert done.returncode == 1
    assert done.stderr == f"Port {port} is in use. Choose another: --port {port + 1}\n"


def test_it_serves_what_it_built(repo):
    import urllib.request

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        command(repo, "--serve", "--port", str(port)),
        env=variables(repo),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        lines = iter(process.stdout.readline, "")
        assert any(f"http://127.0.0.1:{port}/" in line for line in lines)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as page:
            assert "Home" in page.read().decode()
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


def test_a_broken_rule_stops_the_build(repo):
    shutil.copy(ROOT / "scripts" / "rules.py", repo / "scripts" / "rules.py")
    done = build(repo)
    assert done.returncode == 1
    assert "examples/alpha.py: no page names it in its scripts\n" in done.stderr


def test_a_folder_names_its_examples(repo):
    done = build(repo, "--execute", "examples")
    assert "ok alpha" in done.stdout and "numbers: x = 1" in done.stdout


def test_a_fault_in_a_page_stops_the_build(repo):
    (repo / "docs" / "index.md").write_text("# Home\n\n[gone](gone.md)\n")
    done = build(repo)
    assert done.returncode == 1 and "gone.md" in done.stdout
    assert done.stderr.endswith("The site was not built: see the lines above.\n")


def test_the_example_of_the_readme_makes_a_record_and_a_page(repo):
    readme = (ROOT / "README.md").read_text("utf-8")
    section = readme[readme.index("## Add an example") : readme.index("## License")]
    assert section.count("\n") <= 40
    blocks = re.findall(r"(?:^ {8}.*\n|^\n(?= {8}))+", section, re.M)
    script, page = (textwrap.dedent(block).strip() + "\n" for block in blocks)
    (repo / "examples" / "chapter").mkdir()
    (repo / "examples" / "chapter" / "name.py").write_text(script)
    (repo / "examples" / "data").symlink_to(ROOT / "examples" / "data")
    done = build(repo, "--execute", "examples/chapter/name.py")
    assert "numbers: levels = 15; tables: results" in done.stdout, done.stderr
    wanted = re.sub(r"\{\{ figure.*?\}\}", "", page)  # this script draws none
    scripts = ["chapter/name.py"]
    markdown = pages.expand(wanted, "chapter/name.md", scripts, repo / "docs" / "records")
    assert "with 15 levels" in markdown and "| per tensor |" in markdown
    assert "```python\nfrom handbook.running_example" in markdown
