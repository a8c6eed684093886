"""Tests of the whole accelerator: RTL against the golden model, the cycle model, and everything that can go wrong."""
