"""Layer 3 of the stack: model optimizations, one file each."""
