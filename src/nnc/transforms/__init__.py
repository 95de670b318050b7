"""Passes from `nn` to `nn`: one pass a file, named like the file."""
