"""What a µNPU takes, and what a network asks of it (chapter 1)."""
