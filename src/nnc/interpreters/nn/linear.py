"""Reference implementations of the contractions without windows."""

from __future__ import annotations

import math

import numpy as np

from nnc.dialects.nn import linear as nn
from nnc.interpreters.nn.environment import (
    Array,
    Environment,
    References,
    doubled,
    narrowed,
)

REFERENCES = References()


@REFERENCES.implements(nn.MatmulOp)
def _matmul(_: nn.MatmulOp, __: Environment, lhs: Array, rhs: Array) -> Array:
    # A library's sums differ from column to column: not so in double precision.
    return narrowed(np.matmul(doubled(lhs), doubled(rhs)), lhs)


@REFERENCES.implements(nn.PackOp)
def _pack(op: nn.PackOp, env: Environment, x: Array) -> Array:
    panel, groups = op.panel.value.data, op.groups.value.data
    rows, columns = math.prod(x.shape[:-1]), x.shape[-1]
    matrix = x.reshape(rows, groups, columns // groups)
    whole, tail = divmod(matrix.shape[-1], panel)
    # Written in place: packed weights can be as large as all other memory.
    result = np.empty(env.shape_of(op.result, op), x.dtype)
    cut = matrix[:, :, : whole * panel].reshape(len(matrix), groups, whole, panel)
    result[:, :whole] = cut.transpose(1, 2, 0, 3)
    if tail:
        result[:, whole, :, :tail] = matrix[:, :, -tail:].transpose(1, 0, 2)
        result[:, whole, :, tail:] = 0
    return result


@REFERENCES.implements(nn.UnpackOp)
def _unpack(op: nn.UnpackOp, env: Environment, x: Array) -> Array:
    shape = env.shape_of(op.result, op)
    groups, panels, rows, panel = x.shape
    matrix = x.transpose(2, 0, 1, 3).reshape(rows, groups, panels * panel)
    return matrix[:, :, : shape[-1] // groups].reshape(shape)


@REFERENCES.implements(nn.LuOp)
def _lu(_: nn.LuOp, __: Environment, x: Array) -> tuple[Array, Array]:
    factors, signs = x.copy(), np.ones(len(x), x.dtype)
    for number, matrix in enumerate(factors):
        for step in range(len(matrix)):
            column = np.abs(matrix[step:, step])
            # NaN is never chosen, as it is larger than nothing.
            pivot = int(np.argmax(np.where(np.isnan(column), -1, column)))
            if pivot and not np.isnan(column[0]):
                matrix[[step, step + pivot]] = matrix[[step + pivot, step]]
                signs[number] = -signs[number]
            if matrix[step, step] == 0:
                continue
            below = matrix[step + 1 :]
            below[:, step] /= matrix[step, step]
            below[:, step + 1 :] -= np.outer(below[:, step], matrix[step, step + 1 :])
    return factors, signs
