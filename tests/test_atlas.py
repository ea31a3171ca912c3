"""The atlas: which conversion an edge shows, and which way is the shortest."""

import json

import pytest

from handbook import atlas
from handbook.atlas import PARITY, graph, parity_class, routes
from handbook.conversions import conversions, parity


def row(have, want, largest="0 LSB", identical=100.0, same=100.0):
    measured = {"largest difference": largest, "identical outputs %": identical}
    return {"have": have, "want": want, "same answer %": same} | measured


@pytest.mark.parametrize(
    ("largest", "identical", "same", "expected"),
    [
        ("0 LSB", 100.0, 100.0, 0),
        (0.0, 100.0, 100.0, 0),
        (9e-5, 3.0, 100.0, 0),
        (2e-4, 3.0, 100.0, 2),
        ("2 LSB", 90.0, 99.5, 1),
        ("3 LSB", 99.0, 99.9, 2),
        ("1 LSB", 99.0, 99.4, 2),
    ],
)
def test_what_a_conversion_keeps(largest, identical, same, expected):
    assert parity_class(row("a", "b", largest, identical, same)) == PARITY[expected]


def test_an_edge_shows_the_best_of_several_ways():
    rows = [row("a", "b", "2 LSB", 90.0), row("a", "b"), row("a", "b", "9 LSB", 20.0, 90.0)]
    assert graph(rows).edges["a", "b"]["row"] is rows[1]


def test_of_two_shortest_ways_the_one_that_keeps_more():
    worse = [row("a", "x"), row("x", "d", "9 LSB", 20.0, 90.0)]
    better = [row("a", "y", "1 LSB", 90.0, 99.9), row("y", "d", "1 LSB", 90.0, 99.9)]
    longer = [row("a", "p"), row("p", "q"), row("q", "d")]
    found = routes(graph(worse + better + longer))
    assert found["a", "d"] == better
    assert ("d", "a") not in found


def test_nobody_trains_to_convert():
    short = [row("a, float", "a, QAT"), row("a, QAT", "b, int8")]
    long = [
        row("a, float", "a, observed"),
        row("a, observed", "a, int8"),
        row("a, int8", "b, int8"),
    ]
    assert routes(graph(short + long))["a, float", "b, int8"] == long


def test_every_record_with_conversions_is_an_edge(tmp_path, monkeypatch):
    table = {"columns": ["have", "want"], "rows": [["a", "b"], ["b", "c"]]}
    for name, tables in {"x/one": {"conversions": table}, "x/two": {"results": table}}.items():
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "record.json").write_text(json.dumps({"tables": tables}))
    monkeypatch.setattr(atlas, "RECORDS", tmp_path)
    assert [(r["have"], r["want"], r["script"]) for r in atlas.recorded()] == [
        ("a", "b", "x/one"),
        ("b", "c", "x/one"),
    ]


def test_conversions_refuses_what_the_atlas_does_not_know():
    with pytest.raises(ValueError, match="'Caffe, float' is not one of"):
        conversions({("Caffe, float", "ONNX, float", "x"): {}}, because="x")
    with pytest.raises(ValueError, match="unknown columns"):
        conversions({("ONNX, int8", "ONNX, float", "x"): {"speed": 1}}, because="x")


def test_parity_counts_outputs_and_steps():
    source = [[0.0, 0.1], [0.3, 0.1]]
    converted = [[0.0, 0.1], [0.1, 0.1]]
    found = parity(converted, source, [1, 0], scale=0.1)
    assert found["identical outputs %"] == 75 and found["largest difference"] == "2 LSB"
    assert parity(source, source, [1, 0])["largest difference"] == 0
