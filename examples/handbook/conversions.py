"""A conversion from one state of a model to another, measured: an edge of the atlas.

A state is a mode, which is a row of the atlas, and what the model holds, a column: "ONNX, int8".
"""

import numpy as np

from handbook.measure import accuracy, agreement, lsb_difference
from handbook.record import TIMING, table

MODES = ("PyTorch eager", "PyTorch FX", "PyTorch PT2E", "ONNX", "Keras", "TFLite")
STATES = ("float", "observed", "QAT", "int8")  # observed: calibrated; QAT: trained, not converted

PARITY = ("accuracy %", "95 % interval", "same answer %", "identical outputs %")
PARITY += ("largest difference",)
OPTIONAL = ("equal parameters %", "integer operators", "float operators", "size KiB", "speedup")


def parity(converted, source, labels, scale: float | None = None) -> dict:
    """Return what a converted model keeps: columns of a table, for logits (N, 10) of N images.

    `source` are the logits of the model that was converted, or of its quantized form. `scale` is
    that of the quantized logits; without it (a float model) differences are those of the logits.
    Identical means closer than half a step, or equal to the last bit.
    """
    converted, source = np.asarray(converted), np.asarray(source)
    correct = accuracy(converted, labels)
    difference = np.abs(converted.astype(np.float64) - source)
    identical = difference < scale / 2 if scale else difference == 0
    lsb = f"{lsb_difference(converted, source, scale)} LSB" if scale else ""
    return {
        "accuracy %": correct.percent,
        "95 % interval": correct.interval,
        "same answer %": agreement(converted, source),
        "identical outputs %": round(100 * float(identical.mean()), 2),
        "largest difference": lsb or float(f"{difference.max():.1g}"),
    }


def conversions(rows: dict[tuple[str, str, str], dict], because: str) -> None:
    """Print and record the conversions of a script, which become edges of the atlas.

    `rows` maps (have, want, way), as ("PyTorch FX, QAT", "ONNX, int8", "torch.onnx.export"), to the
    columns of `parity` and any of "equal parameters %" (of all scales and zero points), "integer
    operators", "float operators", "size KiB", and "speedup" (over float in the same runtime, a
    TIMING). `because` is why machines may differ. Where a state is QAT they may differ much, since
    training ends elsewhere: the script asserts what must hold. Columns that no row has are left
    out. Raises ValueError for an unknown state or column.
    """
    table_rows, trained = [], "QAT" in str(list(rows))
    for (have, want, way), row in rows.items():
        for state in (have, want):
            mode, _, holds = state.partition(", ")
            if mode not in MODES or holds not in STATES:
                raise ValueError(f"{state!r} is not one of {MODES}, a comma, one of {STATES}")
        if unknown := row.keys() - set(OPTIONAL) - set(PARITY):
            raise ValueError(f"{have} to {want}: unknown columns {sorted(unknown)}")
        blank = dict.fromkeys((*PARITY, *OPTIONAL), "")
        table_rows.append({"have": have, "want": want, "way": way} | blank | row)
    empty = {name for name in OPTIONAL if all(row[name] == "" for row in table_rows)}
    table_rows = [{k: v for k, v in row.items() if k not in empty} for row in table_rows]
    wide = dict.fromkeys(("accuracy %", "95 % interval", "same answer %"), 3 if trained else 1)
    wide |= {"identical outputs %": 40 if trained else 20}
    wide |= {"largest difference": 30 if trained else 2, "size KiB": 2, "speedup": TIMING}
    wide = {name: tolerance for name, tolerance in wide.items() if name not in empty}
    table("conversions", table_rows, tolerance=wide, because=because)
