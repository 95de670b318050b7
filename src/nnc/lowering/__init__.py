"""From tensors to buffers, kernels and the llvm dialect."""
