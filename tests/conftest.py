"""What several test modules share: the site, built once, and how to build a small one."""

import os
from pathlib import Path

import pytest
from mkdocs.commands import build
from mkdocs.config import load_config

import records

os.environ["NO_MKDOCS_2_WARNING"] = "1"  # the theme's banner is no output of ours


def build_site(out: Path, **options) -> Path:
    """Build the site strictly into the folder `out`; `options` replace those of mkdocs.yml."""
    config = load_config(
        str(records.ROOT / "mkdocs.yml"), site_dir=str(out), strict=True, **options
    )
    build.build(config)
    return out


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """The handbook's site."""
    return build_site(tmp_path_factory.mktemp("site"))
