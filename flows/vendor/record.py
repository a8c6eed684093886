"""A folder's reports as a record of the store of runs, stamped with network and configuration of the folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.runs import keep, stamp
from flows.vendor.collect import collect

PARAMS = "params.json"
KIND = "vivado"


def vivado_record(folder: Path | str) -> dict[str, Any]:
    """Everything that the vendor's tools reported about a folder, stamped.

    Parameters
    ----------
    folder : made by ``sievit verilog --board``; any other with a subfolder ``reports`` will do, but then the record is
        about no configuration, network or board in particular

    Returns
    -------
    dict
        The stamp of kind ``vivado``; ``model``, ``board``, ``part``, ``clock_mhz`` (what the folder asks for),
        ``hardware`` (fields of the configuration), each None where the folder does not say; ``folder``; and
        ``designs``, see :func:`flows.vendor.collect.collect`.

    Raises
    ------
    ReportError
        As :func:`flows.vendor.collect.collect`.
    """
    designs = collect(folder)["designs"]
    facts = _facts(Path(folder))
    return {**stamp(KIND, artifact=facts.pop("artifact_hash", None), config=facts.pop("config_hash", None)),
            **dict.fromkeys(("model", "board", "part", "clock_mhz", "hardware")), **facts, "folder": str(folder),
            "designs": designs}


def keep_vivado(content: Mapping[str, Any], root: Path | None = None) -> Path:
    """Keep a record; later reports about the same folder and configuration replace it.

    Parameters
    ----------
    content : of :func:`vivado_record`
    root : the store, by default the user's
    """
    folder = Path(content["folder"]).resolve()
    label = f"{content['model']}-{content['board']}" if content["board"] else folder.name
    return keep(content, label, [str(folder), content["config_hash"], content["artifact_hash"]], root=root)


def _facts(folder: Path) -> dict[str, Any]:
    """What ``params.json`` says; nothing when there is none, or it is no deliverable's."""
    try:
        params = json.loads((folder / PARAMS).read_text())
        return {"artifact_hash": params["program"]["artifact_hash"], "config_hash": params["config_hash_hex"],
                "model": params["network"]["model"], "board": params["board"]["name"],
                "part": params["board"]["part"], "clock_mhz": params["interfaces"]["clock_mhz"],
                "hardware": params["hardware"]["config"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
