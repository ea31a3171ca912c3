"""What a script hands to its page: named numbers, tables, and files for other scripts.

Run by hand, a script only prints. Under the runner, HANDBOOK_RECORD names a folder, and each call
also appends one JSON line to the file `calls.jsonl` in it.
"""

import json
import math
import os
from contextlib import contextmanager
from pathlib import Path

from tabulate import tabulate

TIMING = "timing"  # a tolerance: recorded beside the CPU's name, never compared

_ROOT = Path(__file__).resolve().parents[2]


def record(*, tolerance: float | str = 0, because: str = "", **numbers) -> None:
    """Record named scalars (int, float, bool or str) that a page shows.

    `tolerance` is the largest absolute difference that another machine may find: 0 for arithmetic,
    TIMING for times and their ratios. Any other needs a reason, `because`. Raises ValueError for a
    missing reason and for a value that JSON cannot hold.
    """
    _check_reason(numbers, tolerance, because)
    for name, value in numbers.items():
        number = {"value": _scalar(name, value), "tolerance": tolerance, "because": because}
        _append({"number": name, **number})


def table(name: str, rows: list[dict], *, tolerance: dict | None = None, because: str = "") -> None:
    """Print `rows` as a table and record it.

    Each row maps the same column names, which carry the units ("size KiB"), to scalars.
    `tolerance` maps a column to its tolerance, as in `record`; columns that it lacks are exact.
    """
    tolerance = tolerance or {}
    if not isinstance(tolerance, dict):
        raise ValueError(f"table {name!r}: its tolerance is a dict, {{column: {tolerance}}}")
    columns = list(rows[0])
    if any(list(row) != columns for row in rows) or set(tolerance) - set(columns):
        raise ValueError(f"table {name!r}: rows and tolerance must name the columns {columns}")
    for column, allowed in tolerance.items():
        _check_reason([f"{name}: {column}"], allowed, because)
    cells = [[_scalar(f"{name}: {key}", value) for key, value in row.items()] for row in rows]
    print(tabulate(cells, headers=columns))
    entry = {"columns": columns, "rows": cells, "tolerance": tolerance, "because": because}
    _append({"table": name, **entry})


@contextmanager
def expected(error: type[Exception], text: str):
    """Print, verbatim, the error that the block is there to show; fail if it raises none.

    `text` must be part of the message. Of one longer than ten lines, only the lines with `text`.
    """
    try:
        yield
    except error as raised:
        lines = str(raised).splitlines()
        shown = lines if len(lines) <= 10 else [line for line in lines if text in line]
        assert shown and text in str(raised), f"another message: {raised}"
        print(f"{type(raised).__name__}: " + "\n".join(shown))
    else:
        raise AssertionError(f"no {error.__name__} with {text!r}")


def artifact(path: str) -> Path:
    """Where a script leaves a file for another: `artifact("qat/train/int8.pt")`.

    The path starts with that of the script that makes the file (`examples/qat/train.py`), which
    tells the runner what to run first. Files live in `.cache/artifacts`, outside version control.
    """
    file = _ROOT / ".cache" / "artifacts" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def _check_reason(names, tolerance, because) -> None:
    if tolerance not in (0, TIMING) and not because:
        raise ValueError(f"{', '.join(names)}: a tolerance of {tolerance} needs a reason, because=")


def _scalar(name: str, value):
    value = value.item() if hasattr(value, "item") else value  # NumPy and torch scalars
    if not isinstance(value, int | float | str) or (
        isinstance(value, float) and not math.isfinite(value)
    ):
        raise ValueError(f"{name}: {value!r} is not a finite number or a string")
    return value


def _append(call: dict) -> None:
    if folder := os.environ.get("HANDBOOK_RECORD"):
        with open(Path(folder) / "calls.jsonl", "a", encoding="utf-8") as calls:
            calls.write(json.dumps(call, ensure_ascii=False) + "\n")
