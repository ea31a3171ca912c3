"""The words of the operators' table: one for each mixture of kinds, an error, a second chance."""

import pytest

from handbook.findings import examine, rows, word


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ([], "float"),
        (["float", "float"], "float"),
        (["int8", "int8"], "int8"),
        (["int8", "float"], "partly"),
        (["int8", "weights"], "partly"),
        (["weights", "float"], "weights"),
    ],
)
def test_word(kinds, expected):
    assert word(kinds) == expected


def test_an_exception_is_an_error_with_the_first_sentence_of_its_text():
    def kinds(name):
        raise ValueError("\nNo kernel for it. Please write one.\nOr not.")

    assert examine(["GRU"], kinds) == ({"GRU": "error"}, {"GRU": "ValueError: No kernel for it"})


@pytest.mark.parametrize(
    ("between", "expected"),
    [(["int8"], "follows"), ([], "fused"), (["int8", "float"], "float"), (None, "float")],
)
def test_second_chance(between, expected):
    words, errors = examine(["ReLU"], lambda name: ["float"], lambda name: between)
    assert words == {"ReLU": expected} and not errors


def test_no_second_chance_for_what_is_int8_alone():
    def between(name):
        raise AssertionError

    assert examine(["Linear"], lambda name: ["int8"], between)[0] == {"Linear": "int8"}


def test_rows_say_what_a_framework_lacks():
    columns = {"a": {"Linear": "int8", "Pad": "float"}, "b": {"Linear": "int8"}}
    assert rows(columns)[1] == {"layer": "Pad", "a": "float", "b": "no layer"}
