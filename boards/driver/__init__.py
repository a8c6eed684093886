"""Driver of the accelerator. Needs NumPy and nothing else; runs on Python 3.8 and later.

Copied as it is into a generated folder, beside the ``params.json`` that describes the hardware.
"""

from .accelerator import Accelerator
from .errors import (
    BusyError,
    ConfigMismatchError,
    DriverError,
    HardwareError,
    ParametersError,
    PictureError,
    ProgramError,
    RunTimeoutError,
    TransportError,
)
from .parameters import Network, Parameters
from .results import Batch, Result
from .transport import ArrayBuffer, Buffer, Transport, TransportBase

__all__ = ["Accelerator", "ArrayBuffer", "Batch", "Buffer", "BusyError", "ConfigMismatchError", "DriverError",
           "HardwareError", "Network", "Parameters", "ParametersError", "PictureError", "ProgramError", "Result",
           "RunTimeoutError", "Transport", "TransportBase", "TransportError"]
