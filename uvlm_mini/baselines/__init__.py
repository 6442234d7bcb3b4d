"""What the paper compares with, each small, complete and trained by the same code as the model."""
