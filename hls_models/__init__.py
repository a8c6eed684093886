"""The accelerator in C++ for high-level synthesis, one header per hardware unit, and its native build."""
