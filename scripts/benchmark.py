"""How long the handbook takes, on a fresh clone: `python3 scripts/benchmark.py [--cold]`.

Not a test: it prints, it does not judge. Clones the repository into a temporary folder, links this
environment into it, and times the commands that a reader and an author wait for. With --cold it
also executes every example from nothing.
"""

import environment

environment.enter()

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
PORT = 8765


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the handbook's commands on a fresh clone.")
    parser.add_argument("--cold", action="store_true", help="also execute every example")
    options = parser.parse_args()
    if subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True).stdout:
        sys.exit("Commit first: the benchmark clones what is committed.")
    results = Table("what", "seconds", "peak memory, GiB")

    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
        (clone / ".venv").symlink_to(sys.prefix)
        results.add_row(
            "fresh clone to served site", *measure(clone, "--serve", "--port", str(PORT))
        )
        results.add_row("build with nothing to do", *measure(clone))
        script = clone / "examples" / "definition.py"
        script.write_text(script.read_text() + "\n# a change\n")
        results.add_row("one edited script (definition.py)", *measure(clone))
        if options.cold:
            results.add_row("all examples cold, two jobs", *measure(clone, "--execute", "all"))
    Console().print(results)


def measure(clone: Path, *arguments: str) -> tuple[str, str]:
    """Seconds until build.py ends, or serves, and the peak memory of it and its children."""
    env = {**os.environ, "PYTHONPATH": str(clone / "examples")}
    command = [clone / ".venv/bin/python", clone / "scripts/build.py", *arguments]
    started = time.perf_counter()
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    peak = [0]
    watch = threading.Thread(target=_watch, args=(psutil.Process(process.pid), peak), daemon=True)
    watch.start()
    for line in process.stdout:
        if "http://" in line:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/").read()
            process.terminate()
            break
    seconds = time.perf_counter() - started
    process.wait()
    return f"{seconds:.1f}", f"{peak[0] / 2**30:.1f}"


def _watch(process: psutil.Process, peak: list[int]) -> None:
    """Sample the summed resident memory of a process tree until it ends."""
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        total = 0
        for member in [process, *process.children(recursive=True)]:
            try:
                total += member.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        peak[0] = max(peak[0], total)
        time.sleep(0.1)


if __name__ == "__main__":
    main()
