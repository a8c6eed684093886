"""FPGA boards. One YAML file per board and the loader will live here; empty so far."""
