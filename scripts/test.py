"""Run every check of the handbook; arguments go to pytest: `python3 scripts/test.py -k outline`."""

import environment

environment.enter()

import sys
from pathlib import Path

import pytest

sys.exit(
    pytest.main(
        ["--rootdir", str(Path(__file__).parents[1]), "-c", "pyproject.toml", *sys.argv[1:]]
    )
)
