"""Records: what a script is made from, whether its record is stale, and how two runs compare.

A record is the folder docs/records/<script without .py>/ with record.json, notebook.ipynb and the
figures. It holds the hash of everything that could change it; time stamps play no part.
"""

import ast
import difflib
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from handbook.data import data_file

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
RECORDS = ROOT / "docs" / "records"
HANDBOOK = "handbook"
DATA = "data"
NUMBER = re.compile(r"(?<![A-Za-z_])[-+]?\d[\d_,]*(?:\.\d+)?(?:[eE][-+]?\d+)?")


def scripts() -> list[Path]:
    """Every example script, in the order of its path."""
    shared = (EXAMPLES / HANDBOOK, EXAMPLES / DATA)
    found = EXAMPLES.rglob("*.py")
    return sorted(path for path in found if not any(path.is_relative_to(s) for s in shared))


def find_scripts(given: str) -> list[Path]:
    """The script that a person named, or those in the folder; exits with the nearest if none is."""
    candidates = [Path(given), ROOT / given, EXAMPLES / given, EXAMPLES / f"{given}.py"]
    known = scripts()
    for candidate in candidates:
        path = candidate.resolve()
        if found := [script for script in known if script == path or path in script.parents]:
            return found
    names = {name(path): path for path in known}
    wanted = given.replace("\\", "/").removesuffix(".py")
    nearest = difflib.get_close_matches(wanted.split("examples/")[-1], names, n=1, cutoff=0)
    hint = f" Did you mean examples/{nearest[0]}.py?" if nearest else ""
    raise SystemExit(f"There is no example {given}.{hint}")


def name(script: Path) -> str:
    """`pytorch/fx/ptq_static` for examples/pytorch/fx/ptq_static.py."""
    return script.relative_to(EXAMPLES).with_suffix("").as_posix()


def folder(script: Path) -> Path:
    """Where the record of `script` lives."""
    return RECORDS / name(script)


def load(script: Path) -> dict | None:
    """The committed record of `script`, or None."""
    try:
        return json.loads((folder(script) / "record.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


# What a record is made from


@dataclass(frozen=True)
class Source:
    """What one Python file refers to."""

    modules: frozenset[str]  # every imported module, dotted
    artifacts: frozenset[str]  # first arguments of artifact(...)
    strings: frozenset[str]


@cache
def read_source(path: Path) -> Source:
    """Imports, artifact paths and other strings of a Python file, read without running it."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise SystemExit(f"{_relative(path)}, line {error.lineno}: {error.msg}") from None
    modules, artifacts, strings = set(), set(), set()
    inside_artifact = set()
    for node in ast.walk(tree):  # breadth first: a call comes before its arguments
        match node:
            case ast.Import(names=aliases):
                modules.update(alias.name for alias in aliases)
            case ast.ImportFrom(module=str(module), names=aliases):
                modules.update({module, *(f"{module}.{alias.name}" for alias in aliases)})
            case ast.Call(func=ast.Name(id="artifact"), args=[argument, *_]):
                literals = [n for n in ast.walk(argument) if isinstance(n, ast.Constant)]
                inside_artifact.update(literals)
                artifacts.add(str(literals[0].value) if literals else "")
            case ast.Constant(value=str(text)) if node not in inside_artifact:
                strings.add(text)
    return Source(frozenset(modules), frozenset(artifacts), frozenset(strings))


@cache
def sources(script: Path) -> tuple[Path, ...]:
    """The script, then the modules of `handbook` that it imports, directly or not."""
    found, queue = [], [script]
    while queue:
        path = queue.pop()
        if path not in found:
            found.append(path)
            for module in read_source(path).modules:
                file = EXAMPLES / f"{module.replace('.', '/')}.py"
                if module.startswith(f"{HANDBOOK}.") and file.is_file():
                    queue.append(file)
    return (script, *sorted(found[1:]))


def producers(script: Path) -> set[Path]:
    """The scripts whose artifacts `script` reads."""
    paths = [path for source in sources(script) for path in read_source(source).artifacts]
    return {
        other for other in scripts() for path in paths if path.startswith(f"{name(other)}/")
    } - {script}


def recorders(script: Path) -> set[Path]:
    """The scripts whose records `script` reads: for the atlas, all that record conversions."""
    if "handbook.atlas.recorded" not in read_source(script).modules:
        return set()
    writes = "handbook.conversions.conversions"
    return {other for other in scripts() if writes in read_source(other).modules}


def before(script: Path) -> set[Path]:
    """The scripts that run before `script`, if they run at all."""
    return producers(script) | recorders(script)


def inputs(script: Path, packages: Iterable[str] | None = None) -> dict[str, str]:
    """Everything that could change the record of `script`, with its version or its SHA-256.

    The script itself, the `handbook` modules it imports (their code, not their comments and
    docstrings), the data sets whose folder they name, the pinned version of each of `packages`
    (those that its record lists), the scripts whose artifacts it reads, and the tables of other
    records that it reads. Exits with one line if a data file is damaged.
    """
    if packages is None:
        packages = (load(script) or {"environment": {"versions": ()}})["environment"]["versions"]
    script_file, *modules = sources(script)
    found = {_relative(script_file): _sha256(_lines(script_file))}
    found |= {f"constraints.txt, {name}": pins().get(_normal(name), "none") for name in packages}
    found |= {_relative(module): _sha256(_code(module)) for module in modules}
    strings = {text for path in sources(script) for text in read_source(path).strings}
    for sums in sorted((EXAMPLES / DATA).glob("*/SHA256SUMS")):
        dataset = sums.parent.name
        if any(text == dataset or text.startswith(f"{dataset}/") for text in strings):
            check_data(sums)
            found[_relative(sums)] = _sha256(_lines(sums))
    found |= {_relative(other): key(other) for other in sorted(producers(script))}
    for other in sorted(recorders(script)):
        conversions = (load(other) or {"tables": {}})["tables"].get("conversions")
        found[_relative(folder(other) / "record.json")] = _sha256(json.dumps(conversions))
    return dict(sorted(found.items()))


def key(script: Path) -> str:
    """One hash for all inputs."""
    return _sha256(json.dumps(inputs(script)))


def stale(script: Path) -> str:
    """Why the record of `script` must be made again; empty if it need not."""
    record, current = load(script), inputs(script)
    if record is None:
        return "no record yet"
    changed = [
        path
        for path in record["inputs"] | current
        if record["inputs"].get(path) != current.get(path)
    ]
    return ", ".join(changed) and f"changed: {', '.join(changed)}"


@cache
def check_data(sums: Path) -> None:
    """Exit with one line that names the first damaged or missing file of a SHA256SUMS."""
    for line in sums.read_text().splitlines():
        data_file(f"{sums.parent.name}/{line.split()[1]}")


@cache
def pins() -> dict[str, str]:
    """The version of each package in constraints.txt, by its normalized name."""
    lines = _lines(ROOT / "constraints.txt").splitlines()
    pinned = (line.partition("==") for line in lines if "==" in line)
    return {_normal(name): version for name, _, version in pinned}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _lines(path: Path) -> str:
    return path.read_text(encoding="utf-8")  # universal newlines: a checkout on Windows is the same


def _code(path: Path) -> str:
    tree = ast.parse(_lines(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            del node.body[0]
    return ast.dump(tree)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# How two runs compare


def differences(committed: dict, fresh: dict) -> list[str]:
    """What a fresh run found that the committed record does not allow, a line each.

    Numbers compare within the tolerance that the script declares, printed text in its words,
    figures by name. Both arguments are the contents of a record.json, with "text" added.
    """
    problems = []
    for kind in ("numbers", "tables"):
        for missing in sorted(committed[kind].keys() ^ fresh[kind].keys()):
            problems.append(
                f"{missing}: {'not ' if missing in committed[kind] else ''}recorded now"
            )
    for label in committed["numbers"].keys() & fresh["numbers"].keys():
        old, new = committed["numbers"][label], fresh["numbers"][label]
        problems += _compare(label, old["value"], new["value"], new)
    for label in committed["tables"].keys() & fresh["tables"].keys():
        problems += _compare_tables(label, committed["tables"][label], fresh["tables"][label])
    if committed["figures"] != fresh["figures"]:
        problems.append(f"figures: {fresh['figures']}, recorded {committed['figures']}")
    if (old := words(committed["text"])) != (new := words(fresh["text"])):
        line = next(d for d in difflib.ndiff(old, new) if d.startswith(("-", "+")))
        problems.append(f"printed text differs: {line}")
    return problems


def _compare_tables(label: str, old: dict, new: dict) -> list[str]:
    if old["columns"] != new["columns"] or len(old["rows"]) != len(new["rows"]):
        return [f"{label}: other columns or another number of rows"]
    problems = []
    for old_row, new_row in zip(old["rows"], new["rows"], strict=True):
        for column, was, now in zip(new["columns"], old_row, new_row, strict=True):
            allowed = {"tolerance": new["tolerance"].get(column, 0), "because": new["because"]}
            problems += _compare(f"{label}, {new_row[0]}, {column}", was, now, allowed)
    return problems


def _compare(label: str, was, now, allowed: dict) -> list[str]:
    tolerance = allowed["tolerance"]
    if tolerance == "timing" or was == now:
        return []
    if isinstance(was, str) and isinstance(now, str):
        pairs = list(zip(NUMBER.findall(was), NUMBER.findall(now), strict=False))
        same_words = words(was) == words(now)
        close = all(abs(_float(a) - _float(b)) <= tolerance for a, b in pairs)
    else:
        same_words = isinstance(was, str) == isinstance(now, str)
        close = same_words and abs(was - now) <= tolerance
    if same_words and close:
        return []
    reason = f" ({allowed['because']})" if allowed["because"] else ""
    return [f"{label}: {now}, recorded {was}, tolerance {tolerance}{reason}"]


def _float(text: str) -> float:
    return float(text.replace(",", "").replace("_", ""))


def words(text: str) -> list[str]:
    """The lines of a printed text with each number as #, and rules and spaces folded."""
    lines = (re.sub(r"-{2,}", "--", NUMBER.sub("#", line)) for line in text.splitlines())
    return [" ".join(line.split()) for line in lines if line.strip()]
