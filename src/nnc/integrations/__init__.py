"""nnc behind the interfaces of other projects."""
