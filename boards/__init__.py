"""FPGA boards: one YAML file each, and what runs on them (the driver)."""
