"""Tests of what is known of boards."""
