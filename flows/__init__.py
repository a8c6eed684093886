"""Flows from an artifact to everything else: contracts, compiler, Verilog, reports, and the command line."""
