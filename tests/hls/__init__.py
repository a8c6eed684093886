"""Tests of the C++ models for high-level synthesis."""
