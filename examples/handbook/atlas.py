"""The conversions that all records hold, as a graph of states: what the atlas is made of."""

import json
from pathlib import Path

import networkx

from handbook.conversions import OPTIONAL

RECORDS = Path(__file__).resolve().parents[2] / "docs" / "records"
PARITY = ("same outputs", "within two steps", "rounds anew")  # from the best to the worst


def recorded() -> list[dict]:
    """Return the rows of every `conversions` table, with the script that measured them.

    The runner executes those scripts before the one that calls this, and takes its record for stale
    when one of these tables changes.
    """
    rows = []
    for file in sorted(RECORDS.rglob("record.json")):
        facts = json.loads(file.read_text(encoding="utf-8"))
        if found := facts["tables"].get("conversions"):
            script = file.parent.relative_to(RECORDS).as_posix()
            blank = dict.fromkeys(OPTIONAL, "") | {"script": script}
            rows += [blank | dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
    return rows


def parity_class(row: dict) -> str:
    """Return what a conversion keeps, one of PARITY.

    "same outputs": all are identical, or, between float models, closer than 1e-4. "within two
    steps": at most 2 LSB, and 99.5 % of the answers. All else, a quantization of float among it,
    rounds anew.
    """
    largest, steps = row["largest difference"], None
    if str(largest).endswith(" LSB"):
        steps = int(largest.removesuffix(" LSB"))
    if row["identical outputs %"] == 100 or (steps is None and largest != "" and largest < 1e-4):
        return PARITY[0]
    if steps is not None and steps <= 2 and row["same answer %"] >= 99.5:
        return PARITY[1]
    return PARITY[2]


def graph(rows: list[dict]) -> networkx.DiGraph:
    """Return the states, and for each pair the conversion with the best parity, as `row`."""
    states = networkx.DiGraph()
    for row in rows:
        key = (PARITY.index(parity_class(row)), -row["same answer %"])
        pair = (row["have"], row["want"])
        if pair not in states.edges or key < states.edges[pair]["key"]:
            trains = row["want"].endswith("QAT") and not row["have"].endswith("QAT")
            states.add_edge(*pair, key=key, row=row, weight=4 if trains else 1)
    return states


def routes(states: networkx.DiGraph) -> dict[tuple[str, str], list[dict]]:
    """Return for each pair of states the conversions of its shortest path.

    Training counts as four steps: nobody trains just to convert. Of several with as few steps it
    is the one whose worst step keeps most.
    """
    found = {}
    for have in sorted(states):
        for want in sorted(networkx.descendants(states, have)):
            paths = networkx.all_shortest_paths(states, have, want, weight="weight")
            steps = [[states.edges[pair] for pair in networkx.utils.pairwise(p)] for p in paths]
            best = min(steps, key=lambda edges: sorted((e["key"] for e in edges), reverse=True))
            found[have, want] = [edge["row"] for edge in best]
    return found
