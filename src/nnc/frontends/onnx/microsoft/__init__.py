"""Converters of the ops of ONNX Runtime, domain com.microsoft."""
