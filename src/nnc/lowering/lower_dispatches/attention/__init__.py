"""The kernel of `nn.attention`."""

from __future__ import annotations

from nnc.lowering.lower_dispatches.attention.kernel import attention_kernel

__all__ = ["attention_kernel"]
