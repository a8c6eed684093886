"""The deliverable: a folder from which the vendor's tools build a bitstream, with program, driver and documentation."""
