"""From the kernels to a program on a chip."""
