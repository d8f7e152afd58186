"""Layer 6, hardware: the platforms, what they can reach at most, and how a library is timed on one."""
