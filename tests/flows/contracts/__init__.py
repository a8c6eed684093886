"""Tests of the shared formats."""
