"""ONNX models to `nn`: a checked loader, a graph walk, one converter an op."""
