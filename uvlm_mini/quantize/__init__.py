"""From the float model to int8: export to ONNX, calibration, and the captioner out of the files (chapter 8)."""
