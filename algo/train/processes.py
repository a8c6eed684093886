"""One process, or those that ``torchrun`` starts: gradients are averaged, the first one writes."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


class Processes:
    """The group of processes of a run; a context manager.

    Attributes
    ----------
    rank, world : number of this process and how many there are
    """

    def __init__(self) -> None:
        self.rank, self.world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))

    @property
    def device(self) -> torch.device:
        """A GPU of this process's own, or the processor."""
        if torch.cuda.is_available():
            return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        return torch.device("cpu")

    @property
    def first(self) -> bool:
        """Whether this process writes files and evaluates."""
        return self.rank == 0

    def __enter__(self) -> Processes:
        if self.world > 1:
            distributed.init_process_group("gloo" if self.device.type == "cpu" else "nccl")
        return self

    def __exit__(self, *error: object) -> None:
        if self.world > 1 and distributed.is_initialized():
            distributed.destroy_process_group()

    def wrapped(self, module: nn.Module) -> Any:
        """``module`` with averaged gradients, or itself in a single process."""
        return DistributedDataParallel(module, find_unused_parameters=True) if self.world > 1 else module
