"""What the examples of ONNX Runtime share: calibration images, and a model run on test images."""

from collections.abc import Iterator

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader

from handbook.data import fashion_mnist


class CalibrationImages(CalibrationDataReader):
    """1000 training images in 10 batches for quantize_static, which reads them to their end.

    `name` is that of the graph's input. onnx/ptq_static.py writes this class out.
    """

    def __init__(self, name: str = "images"):
        self.name = name
        self.batches: Iterator = iter(np.split(fashion_mnist("train")[0][:1000], 10))

    def get_next(self) -> dict | None:
        """Return the next batch, float32 (100, 1, 28, 28), by the input's name, or None."""
        batch = next(self.batches, None)
        return None if batch is None else {self.name: batch}


def session(path, **config: str) -> onnxruntime.InferenceSession:
    """Return a session of one thread.

    `config` are entries of its configuration, without "session.": `x64quantprecision="1"` makes
    sums exact on x86 without VNNI too.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    for key, value in config.items():
        options.add_session_config_entry(f"session.{key}", value)
    return onnxruntime.InferenceSession(path, options)


def predict_onnx(path, images: np.ndarray, **config: str) -> np.ndarray:
    """Return the logits of a model, float32 (N, 10), for images (N, 1, 28, 28); see `session`."""
    loaded = session(path, **config)
    (name,) = (each.name for each in loaded.get_inputs())
    batches = np.array_split(images, -(-len(images) // 1000))
    return np.concatenate([loaded.run(None, {name: batch})[0] for batch in batches])
