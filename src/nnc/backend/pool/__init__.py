"""The thread pool, as LLVM IR: no compiler is needed where it is used."""
