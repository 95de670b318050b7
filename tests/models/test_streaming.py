"""Networks that hand their state on, over many steps, against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from catalogue import NETWORKS
from reference import TOLERANCE, relative_error

import nnc

STEPS = 1000


@pytest.mark.parametrize(
    "name",
    [
        "silero_vad",
        "silero_vad_8k",
        "silero_vad_op15",
        "silero_vad_op18",
        "silero_vad_half",
    ],
)
def test_speech_detection(name: str) -> None:
    """Both engines start with silence and go their own ways."""
    network = NETWORKS[name]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        str(network.path), options, providers=["CPUExecutionProvider"]
    )
    random = np.random.default_rng(0)
    feeds = network.inputs()
    ours = theirs = feeds["state"]
    with nnc.compile(network.path) as model:
        for step in range(STEPS):
            loudness = 0.1 * (1 + np.sin(step / 30))
            shape = feeds["input"].shape
            sound = random.standard_normal(shape).astype(np.float32)
            feeds["input"] = (loudness * sound).astype(np.float32)
            score, ours = model.run(None, {**feeds, "state": ours})
            expected, theirs = map(
                np.asarray, session.run(None, {**feeds, "state": theirs})
            )
            assert np.abs(score - expected).max() <= TOLERANCE, f"step {step}"
            assert relative_error(ours, theirs) <= TOLERANCE, f"step {step}"
