"""The deliverable: a folder from which the vendor's tools build a bitstream, with program, driver and documentation."""

from flows.deliver.folder import write_folder

__all__ = ["write_folder"]
