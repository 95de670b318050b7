"""Lowering dispatches to kernels."""
