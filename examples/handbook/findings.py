"""What became of one layer when a tool quantized it: the words of the operators' table."""

from collections.abc import Callable, Iterable


def word(kinds: Iterable[str]) -> str:
    """Return one word for the kinds of a model's operators, "int8", "float" or "weights".

    "weights" is float arithmetic on weights that are stored as integers, with other float
    operators or without. int8 beside one of the two is "partly", and no operator is "float".
    """
    kinds = set(kinds)
    if "int8" in kinds:
        return "int8" if kinds == {"int8"} else "partly"
    return "weights" if "weights" in kinds else "float"


def examine(
    names: Iterable[str],
    kinds: Callable[[str], list[str]],
    between: Callable[[str], list[str] | None] | None = None,
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the word of each layer, and the text of each exception by layer; its word is "error".

    `kinds(name)` quantizes a model of the layer alone and returns its operators' kinds. A layer
    that stays float alone has a second chance, `between(name)`: the kinds of its operators between
    two int8 layers, or None if it has no such model. All int8 is "follows", and none is "fused".
    """
    words, errors = {}, {}
    for name in names:
        try:
            words[name] = word(kinds(name))
            again = between(name) if between and words[name] == "float" else None
        except Exception as error:
            words[name], again = "error", None
            lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
            errors[name] = f"{type(error).__name__}: {lines[0].partition('. ')[0]}"
        if again is not None and set(again) <= {"int8"}:
            words[name] = "follows" if again else "fused"
    return words, errors


def rows(columns: dict[str, dict[str, str]]) -> list[dict[str, str]]:
    """Return a table's rows, one a layer, of columns that map each layer to its word."""
    layers = dict.fromkeys(layer for words in columns.values() for layer in words)
    return [
        {"layer": layer} | {name: words.get(layer, "no layer") for name, words in columns.items()}
        for layer in layers
    ]
