"""Token pruning in the float model."""
