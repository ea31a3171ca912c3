"""Code is formatted, and lint finds nothing."""

import subprocess
import sys

import records

FOLDERS = ["examples", "scripts", "tests"]


def ruff(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "ruff", *arguments, "--no-cache"]
    return subprocess.run(command, cwd=records.ROOT, capture_output=True, text=True)


def test_lint():
    done = ruff("check", *FOLDERS)
    assert done.returncode == 0, done.stdout


def test_format():
    done = ruff("format", "--check", *FOLDERS)
    assert done.returncode == 0, done.stdout


def test_catches_an_undefined_name_and_a_loose_format(tmp_path):
    (tmp_path / "bad.py").write_text("x = [1,2]\nprint(y)\n")
    assert "F821" in ruff("check", str(tmp_path)).stdout
    assert ruff("format", "--check", str(tmp_path)).returncode == 1


def test_no_file_names_this_machine():
    tracked = subprocess.run(
        ["git", "grep", "-lIE", r"/(root|home|work|Users)/[a-z]", "--", ":!tests"],
        cwd=records.ROOT,
        capture_output=True,
        text=True,
    )
    assert tracked.stdout == ""
