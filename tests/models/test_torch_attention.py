"""
Attention as torch's exporters spell it: one kernel each, and right.

TorchScript writes it in pieces, dynamo too up to opset 22, and as one op from 23 on.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from reference import TOLERANCE, relative_error

import nnc

pytestmark = [pytest.mark.slow, pytest.mark.models]

torch = pytest.importorskip("torch", reason="needs the extra `models`")

OPSETS = {"torchscript": 17, "dynamo": 18, "one-op": 23}
MASKS = ("none", "float", "bool", "causal", "groups")
SPELLINGS = [
    (exporter, mask)
    for exporter in OPSETS
    for mask in MASKS
    # torch's older exporter has no grouped heads.
    if (exporter, mask) != ("torchscript", "groups")
]
HEADS, DEPTH = 4, 8


class Attention(torch.nn.Module):
    """Fused projections and torch's own attention."""

    def __init__(self, mask: str) -> None:
        super().__init__()
        self.projection = torch.nn.Linear(HEADS * DEPTH, 3 * HEADS * DEPTH)
        self.mask = mask

    def forward(self, x: Any, mask: Any) -> Any:
        """Attention over the second axis of `x`."""
        batch, length, width = x.shape
        split = self.projection(x).reshape(batch, length, 3, HEADS, DEPTH)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        if self.mask == "groups":
            k, v = k[:, :2], v[:, :2]
        result = torch.nn.functional.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=mask if self.mask in ("float", "bool") else None,
            is_causal=self.mask == "causal",
            enable_gqa=self.mask == "groups",
        )
        return result.transpose(1, 2).reshape(batch, length, width)


@pytest.mark.parametrize(("exporter", "mask"), SPELLINGS)
def test_exported_attention_is_one_kernel(exporter: str, mask: str, tmp_path: Path):
    torch.manual_seed(0)
    x = torch.randn(2, 7, HEADS * DEPTH)
    bias = torch.rand(7, 7) > 0.4 if mask == "bool" else torch.randn(7, 7)
    path = tmp_path / "attention.onnx"
    options = {} if exporter == "torchscript" else {"external_data": False}
    with warnings.catch_warnings(), torch.no_grad():
        # Both exporters warn about themselves.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Attention(mask).eval(),
            (x, bias),
            str(path),
            input_names=["x", "mask"],
            opset_version=OPSETS[exporter],
            dynamo=exporter != "torchscript",
            verbose=False,
            **options,
        )
    exe = nnc.compile(path)
    arrays = {"x": x.numpy(), "mask": bias.numpy()}
    feeds = {i.name: arrays[i.name] for i in exe.inputs}
    (actual,) = exe.run(None, feeds)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, feeds)
    assert relative_error(np.asarray(actual), np.asarray(expected)) < TOLERANCE
    schedules = [k.name.partition("_")[0] for k in exe.info.kernels]
    assert schedules.count("attention") == 1
    assert "rows" not in schedules
