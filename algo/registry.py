"""Things that are known by a name, in the style of timm: models, pruning methods, block scores, calibration methods."""

from __future__ import annotations

from typing import TypeVar

from flows.contracts.errors import ConfigError

T = TypeVar("T")


class Registry(dict[str, T]):
    """Named things of one kind.

    Parameters
    ----------
    kind : in words, for errors
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def add(self, name: str, item: T) -> None:
        """Make ``item`` known as ``name``.

        Raises
        ------
        ValueError
            When the name is taken.
        """
        if name in self:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self[name] = item

    def names(self) -> list[str]:
        """Registered names, sorted."""
        return sorted(self)

    def find(self, name: str) -> T:
        """What is registered as ``name``.

        Raises
        ------
        ConfigError
            When there is none; names the known ones.
        """
        if name not in self:
            raise ConfigError(f"unknown {self.kind} {name!r}; known: {', '.join(self.names())}")
        return self[name]
