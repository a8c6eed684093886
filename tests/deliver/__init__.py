"""Tests of the deliverable: the folder, its scripts under stand-ins of the vendor's tools, and their reports."""
