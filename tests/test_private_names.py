"""Every private name of another package that an example uses is on a page, and still exists.

The list is the table under "Private names" of docs/pytorch/methods.md. A private name may vanish
with any release; a test here fails then, and names it.
"""

import ast
import importlib
import re

import pytest

import records
import rules

PAGE = rules.DOCS / "pytorch" / "methods.md"
ROW = re.compile(r"^\| `([\w.]+)` \|", re.M)
OURS = ("handbook",)


def private_names(source: str) -> set[str]:
    """Dotted names in a program, of modules that it imports, up to the first private part."""
    tree, bound, found = ast.parse(source), {}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
                found.add(alias.name)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                bound[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                found.add(f"{node.module}.{alias.name}")
    for node in ast.walk(tree):
        parts, inner = [], node
        while isinstance(inner, ast.Attribute):
            parts.insert(0, inner.attr)
            inner = inner.value
        if parts and isinstance(inner, ast.Name) and inner.id in bound:
            found.add(".".join([bound[inner.id], *parts]))
    return {short for name in found if (short := _to_private(name))} - {""}


def _to_private(name: str) -> str:
    parts = name.split(".")
    if parts[0] in OURS:
        return ""
    private = [i for i, part in enumerate(parts) if re.match(r"_[a-zA-Z]", part)]
    return ".".join(parts[: private[-1] + 1]) if private else ""


def used() -> dict[str, list[str]]:
    """Each private name, with the files of examples/ that use it."""
    users: dict[str, list[str]] = {}
    for file in sorted(records.EXAMPLES.rglob("*.py")):
        for name in private_names(file.read_text("utf-8")):
            users.setdefault(name, []).append(file.relative_to(records.EXAMPLES).as_posix())
    return users


def listed() -> list[str]:
    section = PAGE.read_text("utf-8").partition("\n## Private names\n")[2].partition("\n## ")[0]
    return ROW.findall(section)


def test_the_page_lists_them():
    assert sorted(listed()) == sorted(used())


@pytest.mark.parametrize("name", sorted(used()))
def test_still_exists(name):
    assert resolves(name), f"{name} is gone; used by {', '.join(used()[name])}"


def resolves(name: str) -> bool:
    """Whether a dotted name can be imported, or reached by attributes of what can."""
    parts = name.split(".")
    for split in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError:
            continue
        for part in parts[split:]:
            thing = getattr(thing, part, None)
        return thing is not None
    return False


def test_finds_private_names():
    program = """
import torch
import torch._inductor.config as config
import numpy as np
from torch.ao.quantization import _hidden, public
from handbook.record import _ours
config.freezing = torch._dynamo.config.verbose
torch.fx._pytree.tree
np.__version__, public._name
self._mine
"""
    assert private_names(program) == {
        "torch._inductor",
        "torch._dynamo",
        "torch.fx._pytree",
        "torch.ao.quantization._hidden",
        "torch.ao.quantization.public._name",
    }


def test_misses_what_is_gone():
    assert resolves("torch._inductor") and resolves("torch.nn.Module._call_impl")
    assert not resolves("torch._gone") and not resolves("_no_such_package.name")
