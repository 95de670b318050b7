"""From the llvm dialect to machine code: emission, code generation, loading."""
