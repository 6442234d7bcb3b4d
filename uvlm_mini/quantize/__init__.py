"""From the float model to int8: export to ONNX (chapter 8)."""
