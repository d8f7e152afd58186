"""Ways to schedule a network's kernels, one file each."""
