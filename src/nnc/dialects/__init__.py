"""The dialects of nnc, from tensors (`nn`) to what LLVM lacks a name for."""
