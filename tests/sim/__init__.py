"""Tests of the simulator runner, the memory and probe models, and the comparison."""
