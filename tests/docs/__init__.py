"""Tests of the documentation: what it tells a reader to type must work."""
