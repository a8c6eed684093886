"""What the accelerator takes of an FPGA: open synthesis, logic depth, and an analytical model of both's totals."""
