"""Tests of the command line and of the flows behind it."""
