"""The commands `nnc` and `nnc-opt`."""
