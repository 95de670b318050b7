"""Executable meanings of dialects, in numpy: the oracle for everything else."""
