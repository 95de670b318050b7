"""What runs a compiled model; imports no compiler code."""
