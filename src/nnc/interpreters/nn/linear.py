"""Reference implementations of the contractions without windows."""

from __future__ import annotations

import numpy as np

from nnc.dialects.nn import linear as nn
from nnc.interpreters.nn.environment import (
    Array,
    Environment,
    References,
    narrowed,
    widened,
)

REFERENCES = References()


@REFERENCES.implements(nn.MatmulOp)
def _matmul(_: nn.MatmulOp, __: Environment, lhs: Array, rhs: Array) -> Array:
    return narrowed(np.matmul(widened(lhs), widened(rhs)), lhs)


@REFERENCES.implements(nn.PackOp)
def _pack(op: nn.PackOp, _: Environment, x: Array) -> Array:
    panel, groups = op.panel.value.data, op.groups.value.data
    columns = x.shape[-1] // groups
    matrix = x.reshape(-1, groups, columns)
    padding = -columns % panel
    matrix = np.pad(matrix, ((0, 0), (0, 0), (0, padding)))
    panels = matrix.reshape(-1, groups, (columns + padding) // panel, panel)
    return np.ascontiguousarray(panels.transpose(1, 2, 0, 3))


@REFERENCES.implements(nn.UnpackOp)
def _unpack(op: nn.UnpackOp, env: Environment, x: Array) -> Array:
    shape = env.shape_of(op.result, op)
    groups, panels, rows, panel = x.shape
    matrix = x.transpose(2, 0, 1, 3).reshape(rows, groups, panels * panel)
    return matrix[:, :, : shape[-1] // groups].reshape(shape)
