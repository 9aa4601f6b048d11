"""What a run is cut into: steps that pull, decide and push, and the attempt that takes them."""
