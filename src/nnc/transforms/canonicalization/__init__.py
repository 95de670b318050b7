"""The local patterns of `canonicalize-nn`, one file a group of ops."""
