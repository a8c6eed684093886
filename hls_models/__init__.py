"""C++ models for high-level synthesis, one header per unit, will live here; empty so far."""
