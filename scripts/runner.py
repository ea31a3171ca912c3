"""Run examples, several at a time, producers first, and put their records in place.

Each script runs in a process of its own, into a temporary folder that is moved to docs/records
only when it is whole. So a failure or an interrupt costs that one script's run and nothing else.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import records

CACHE = records.ROOT / ".cache"
EXECUTE = Path(__file__).with_name("execute.py")
WORK = CACHE / "executing"
TIMEOUT = 1800  # seconds for one script; one that takes over 60 is a task of its own (DESIGN)


class Runner:
    """Runs child processes, at most `jobs` at once, and stops them all on an interrupt."""

    def __init__(self, jobs: int):
        self.jobs = jobs
        self.running: set[subprocess.Popen] = set()
        self.stopped = False

    def start(self, command: list, **options) -> subprocess.CompletedProcess:
        """Run one command with a fair share of the cores; its output is captured."""
        if self.stopped:
            raise InterruptedError
        threads = str(max(1, (os.cpu_count() or 1) // self.jobs))
        # Two OpenMP pools that spin on the same cores are many times slower than one thread each.
        env = {"OMP_NUM_THREADS": threads, **os.environ, **options.pop("env", {})}
        process = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            **options,
        )
        self.running.add(process)
        try:
            out, err = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            self._kill(process)
            out, err = process.communicate()
            err += f"\nstopped after {TIMEOUT} s"
        finally:
            self.running.discard(process)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def map(self, task, scripts: list[Path], dependencies=None) -> dict[Path, str]:
        """Call `task(script)` for each, producers first; the problem of each that failed."""
        wanted = set(scripts)
        graph = {s: (dependencies(s) & wanted if dependencies else set()) for s in scripts}
        order = TopologicalSorter(graph)
        order.prepare()
        problems: dict[Path, str] = {}
        futures: dict[Future, Path] = {}
        with ThreadPoolExecutor(self.jobs) as pool:
            try:
                while order.is_active():
                    for script in order.get_ready():
                        if broken := sorted(graph[script] & problems.keys()):
                            needed = records.name(broken[0])
                            problems[script] = f"{records.name(script)}: not run, needs {needed}"
                            order.done(script)
                        else:
                            futures[pool.submit(task, script)] = script
                    finished, _ = (
                        wait(futures, return_when=FIRST_COMPLETED) if futures else ((), ())
                    )
                    for future in finished:
                        script = futures.pop(future)
                        if problem := future.result():
                            problems[script] = problem
                        order.done(script)
            except BaseException:
                self.stopped = True
                pool.shutdown(wait=False, cancel_futures=True)
                for process in list(self.running):
                    self._kill(process)
                raise
        return problems

    @staticmethod
    def _kill(process: subprocess.Popen) -> None:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def refresh(scripts: list[Path], jobs: int) -> dict[Path, str]:
    """Make the records of `scripts` anew; a progress bar, and the problem of each that failed.

    A script that needs another's artifact is run after it, and the other is added if its artifact
    is not in the cache.
    """
    WORK.mkdir(parents=True, exist_ok=True)
    scripts = longest_first(with_producers(scripts))
    runner, console = Runner(jobs), Console(highlight=False)
    columns = (TextColumn("examples"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=len(scripts))

        def run(script: Path) -> str:
            started = time.perf_counter()
            problem = make_record(script, runner)
            progress.advance(bar)
            mark = "[red]failed[/]" if problem else "[green]ok[/]"
            console.print(f"{mark} {records.name(script)} {time.perf_counter() - started:.1f} s")
            if not problem and (held := contents(script)):
                console.print(f"   [dim]{held}[/]", soft_wrap=True)
            return problem

        return runner.map(run, scripts, records.before)


def contents(script: Path) -> str:
    """What a page can take from the record of `script`, by name."""
    record = records.load(script)
    numbers = [f"{name} = {number['value']}" for name, number in record["numbers"].items()]
    kinds = {"numbers": numbers, "tables": record["tables"], "figures": record["figures"]}
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names)


def longest_first(scripts: list[Path]) -> list[Path]:
    """By the time that each took when its record was made, so that no long one is left alone."""
    return sorted(scripts, key=lambda script: -(records.load(script) or {"seconds": 0})["seconds"])


def with_producers(scripts: list[Path]) -> list[Path]:
    """`scripts`, and those that make an artifact which they need and the cache does not hold."""
    wanted = dict.fromkeys(scripts)
    for script in wanted.copy():
        for producer in sorted(records.producers(script)):
            if not _artifacts_are_current(producer):
                wanted |= dict.fromkeys(with_producers([producer]))
    return list(wanted)


def _artifact_stamp(script: Path) -> Path:
    return CACHE / "artifacts" / records.name(script) / ".key"


def _artifacts_are_current(script: Path) -> bool:
    stamp = _artifact_stamp(script)
    return stamp.is_file() and stamp.read_text() == records.key(script)


def make_record(script: Path, runner: Runner) -> str:
    """Execute `script` in a process of its own and put its record in place; the problem, if any."""
    out = WORK / f"{records.name(script).replace('/', '--')}.{os.getpid()}"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    stamp = _artifact_stamp(script)
    stamp.unlink(missing_ok=True)
    try:
        done = runner.start(
            [sys.executable, EXECUTE, script, out], env={"HANDBOOK_RECORD": str(out)}
        )
        if done.returncode:
            return done.stderr.strip() or f"{records.name(script)}: exit code {done.returncode}"
        replace_folder(out, records.folder(script))
        if stamp.parent.is_dir():
            stamp.write_text(records.key(script))
        return ""
    finally:
        shutil.rmtree(out, ignore_errors=True)


def replace_folder(new: Path, final: Path) -> None:
    """Move a whole record into place; at each moment the old one, or the new one, is whole."""
    final.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(final)
    aside.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(aside, ignore_errors=True)
    if final.exists():
        final.rename(aside)
    new.rename(final)
    shutil.rmtree(aside, ignore_errors=True)


def recover(scripts: list[Path]) -> None:
    """Put back the records that an interrupt left aside, and clear what it left unfinished.

    A younger folder may belong to another build that is running now.
    """
    for script in scripts:
        final = records.folder(script)
        if not final.exists() and (aside := _aside(final)).exists():
            aside.rename(final)
    for unfinished in WORK.glob("*"):
        if time.time() - unfinished.stat().st_mtime > TIMEOUT:
            shutil.rmtree(unfinished, ignore_errors=True)


def _aside(final: Path) -> Path:
    name = final.relative_to(records.RECORDS).as_posix().replace("/", "--")
    return CACHE / "replaced" / name
