"""How `decompose-nn` takes ops apart, one file a group of ops."""
