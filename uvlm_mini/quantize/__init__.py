"""From the float model towards int8, chapter 8's subject: export to ONNX."""
