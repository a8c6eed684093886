"""The description of one accelerator: ``params.json``, generated together with its Verilog and its program.

Nothing about registers, error codes, sizes or the network is written down in the driver; all of it comes from here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .errors import ParametersError

FORMAT = 1
"""Version of the layout of params.json that this driver reads."""


@dataclass(frozen=True)
class Network:
    """What a program computes.

    Attributes
    ----------
    model, weights : where it came from, in words
    tokens : tokens before any drop, CLS included
    patch_inputs : numbers of a patch, ``patch * patch * 3``
    classes : logits
    class_names : one per class; empty when unknown
    image_size, patch : pixels; 0 when unknown, then only patch codes can be given
    mean, std, input_scale : how pixels become codes
    crop_fraction : share of the resized shorter side that the centre crop keeps
    """

    model: str
    weights: str
    tokens: int
    patch_inputs: int
    classes: int
    class_names: tuple = ()
    image_size: int = 0
    patch: int = 0
    mean: tuple = ()
    std: tuple = ()
    input_scale: float = 0.0
    crop_fraction: float = 1.0

    @property
    def takes_pictures(self) -> bool:
        """Whether pixels can be turned into patch codes."""
        return self.image_size > 0

    @classmethod
    def from_dict(cls, values: dict) -> Network:
        """From the ``network`` entry of params.json; lists become tuples."""
        converted: dict = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        return cls(**converted)


class Registers:
    """Names, offsets and fields of the registers.

    Parameters
    ----------
    entries : the ``registers`` list of params.json
    """

    def __init__(self, entries: list) -> None:
        self._by_name = {entry["name"]: entry for entry in entries}
        self.names = tuple(self._by_name)

    def entry(self, name: str) -> dict:
        """Everything about a register: offset, access, doc, fields, count.

        Raises
        ------
        KeyError
            When there is no such register.
        """
        if name not in self._by_name:
            raise KeyError(f"no register {name!r}; registers: {', '.join(self.names)}")
        return self._by_name[name]

    def offset(self, name: str, index: int = 0) -> int:
        """Byte address of a register, or of one entry of a register that has several; KeyError or IndexError."""
        entry = self.entry(name)
        if not 0 <= index < entry["count"]:
            raise IndexError(f"register {name} has entries 0 to {entry['count'] - 1}, not {index}")
        return entry["offset"] + 4 * index

    def mask(self, name: str, field: str) -> int:
        """Bits of a field within its register; KeyError when there is none."""
        for item in self.entry(name)["fields"]:
            if item["name"] == field:
                return ((1 << item["width"]) - 1) << item["low"]
        raise KeyError(f"register {name} has no field {field!r}")

    def count(self, name: str) -> int:
        """Entries of a register."""
        return self.entry(name)["count"]


@dataclass(frozen=True)
class Parameters:
    """The content of params.json.

    Attributes
    ----------
    hardware : id, version, config_hash, config, page_bytes, stream_bytes, clock_mhz, magic, program_version
    registers : Registers
    errors : ``{code: (name, text)}``
    hello : ``{field: (lowest bit, width)}`` of the first words of a program
    network : what the program beside it computes
    program : file, bytes, sha256, artifact_hash of the program beside it
    folder : where params.json lies; file names are relative to it
    """

    hardware: dict
    registers: Registers
    errors: dict
    hello: dict
    network: Network
    program: dict
    folder: Path

    @classmethod
    def load(cls, source: object) -> Parameters:
        """Read params.json, or take its content.

        Parameters
        ----------
        source : path, or the dictionary that the file holds

        Raises
        ------
        ParametersError
            When the file is missing or damaged, or has another version.
        """
        if isinstance(source, Parameters):
            return source
        if isinstance(source, dict):
            return cls._build(source, Path(), "the parameters")
        path = Path(str(source))
        if not path.is_file():
            raise ParametersError(f"no parameters at {path}; give the params.json that was generated with the hardware")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ParametersError(f"{path} is damaged ({error}); generate it again") from None
        if not isinstance(values, dict):
            raise ParametersError(f"{path} is no description of an accelerator; generate it again")
        return cls._build(values, path.parent, str(path))

    @classmethod
    def _build(cls, values: dict, folder: Path, what: str) -> Parameters:
        if values.get("format") != FORMAT:
            raise ParametersError(f"{what} has format {values.get('format')}, this driver reads {FORMAT}; use the "
                                  "driver that was generated with it")
        try:
            return cls(
                hardware=values["hardware"],
                registers=Registers(values["registers"]),
                errors={item["code"]: (item["name"], item["text"]) for item in values["errors"]},
                hello={item["name"]: (item["low"], item["width"]) for item in values["hello"]},
                network=Network.from_dict(values["network"]), program=values["program"], folder=folder)
        except (KeyError, TypeError) as error:
            raise ParametersError(f"{what} is incomplete ({error}); generate it again") from None

    def error(self, code: int) -> tuple:
        """Name and text of a value of the ERROR register."""
        unknown = ("UNKNOWN", "params.json does not know the code; use the one that was generated with the bitstream")
        return self.errors.get(code, unknown)
