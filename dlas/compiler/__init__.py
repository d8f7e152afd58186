"""Layer 5, systems software: the compiler, from a trained network to libraries for a target."""
