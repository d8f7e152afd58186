"""Layer 6, hardware: the platforms, their limits, and the timing of libraries."""
