"""Weights of a network: from a file, from the timm hub, or made up from a seed."""

from __future__ import annotations

import json
import logging
import os
import threading
import urllib.request
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from algo.models import ModelSpec, build_like, vit_spec
from algo.quant.ranges import PREFIX, Ranges
from algo.synthetic import synthetic_like
from algo.timm_compat import timm
from flows.contracts.errors import ConfigError, WeightsError
from flows.contracts.files import replacing

State = dict[str, Tensor]
T = TypeVar("T")
Build = Callable[[Mapping[str, Tensor]], nn.Module]
"""Makes a network of the sizes that weights have; with none of them, the registered one."""

PROBE_SECONDS = 3.0
"""How long the hub may take to answer before it counts as out of reach."""


def load_weights(model_name: str, file: Path | str | None = None, seed: int = 0, *,
                 synthetic: bool = False) -> tuple[State, str]:
    """Weights with timm names, as float32.

    A file may be of another number of classes, image size or MLP widths than the registered model.

    Parameters
    ----------
    model_name : registered model or timm architecture
    file : ``.safetensors``, or ``.pth`` with a state dict (also below ``"model"`` or ``"state_dict"``); None takes
        timm's pretrained weights if the hub or its cache has them, else synthetic weights
    seed : for synthetic weights
    synthetic : make weights up even where trained ones are to be had: the same everywhere, online or not

    Returns
    -------
    The weights, and where they came from in words.

    Raises
    ------
    WeightsError
        When ``file`` is missing, truncated, no weights file, or does not fit the model (names the first tensor).
    ConfigError
        When the model is unknown or not supported, or for ``file`` together with ``synthetic``.
    """
    return find_weights(vit_spec(model_name), partial(build_like, model_name), file, seed, synthetic=synthetic)


def find_weights(spec: ModelSpec, build: Build, file: Path | str | None = None, seed: int = 0, *,
                 synthetic: bool = False) -> tuple[State, str]:
    """As :func:`load_weights`, for the networks that ``build`` makes."""
    if synthetic:
        if file is not None:
            raise ConfigError(f"weights are either synthetic or those of {file}")
        return synthetic_like(build({}).state_dict(), seed), f"synthetic (seed {seed})"
    if file is not None:
        path = Path(file)
        given = read_state(path)
        return check_state(given, build(given).state_dict(), f"{path}", spec.name), f"file {path.name}"
    expected = build({}).state_dict()  # before the hub is asked: the model may not be supported
    state = hub_state(spec)
    if state is not None:
        return check_state(state, expected, "the timm hub's file", spec.name), "timm hub"
    return synthetic_like(expected, seed), f"synthetic (seed {seed}), no trained weights were available"


def read_state(path: Path) -> State:
    """The weights in a file by name (ranges of activations, which it may hold too, aside).

    Raises
    ------
    WeightsError
        When the file is missing, truncated, or no weights file.
    """
    if not path.is_file():
        raise WeightsError(f"no weights file at {path}; give a .safetensors or .pth file with timm names")
    try:
        if path.suffix == ".safetensors":
            return {name: value for name, value in load_file(str(path)).items() if not name.startswith(PREFIX)}
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise WeightsError(f"{path} is no weights file or is truncated ({reason}); "
                           "give a complete .safetensors or .pth file") from None
    for key in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise WeightsError(f"{path} holds no state dict; give a .safetensors or .pth file with timm names")
    return content


def read_facts(path: Path) -> dict[str, Any]:
    """What a ``.safetensors`` file of trained weights says about itself, see :func:`save_weights`; else nothing."""
    if path.suffix != ".safetensors":
        return {}
    with safe_open(str(path), "pt") as file:
        text = (file.metadata() or {}).get("sievit")
    try:
        facts = json.loads(text or "{}")
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        raise WeightsError(f"{path}: its sievit metadata are no JSON object; train or prune the network again")
    return facts


def save_weights(state: State, path: Path, facts: Mapping[str, Any], ranges: Ranges | None = None) -> None:
    """Write weights and what is to be known about them, equal inputs as equal bytes.

    Parameters
    ----------
    facts : anything JSON can hold; of these names :func:`algo.export.export` takes its defaults: ``class_names``
        (list), ``mean`` and ``std`` (three numbers), ``keep_tokens``, ``drop_layers``, ``settings`` (of the
        quantization, fields of :class:`algo.quant.settings.Settings`); ``origin`` (text) says where the weights come
        from
    ranges : of the activations, when the network was trained with its quantization; export then uses them
    """
    tensors = {name: tensor.detach().contiguous() for name, tensor in state.items()}
    tensors |= ranges.state() if ranges is not None else {}
    with replacing(path) as part:
        save_file(tensors, str(part), metadata={"sievit": json.dumps(facts, sort_keys=True)})


def check_state(state: State, expected: State, where: str, model_name: str) -> State:
    """``state`` as float32 in the order of ``expected``.

    Raises
    ------
    WeightsError
        For the first missing tensor, wrong shape, not finite value, or unexpected tensor.
    """
    hint = f"give weights of {model_name} with timm names"
    checked = {}
    for name, tensor in expected.items():
        if name not in state:
            raise WeightsError(f"{where} lacks the tensor {name}; {hint}")
        if state[name].shape != tensor.shape:
            found, wanted = tuple(state[name].shape), tuple(tensor.shape)
            raise WeightsError(f"{where}: tensor {name} is {found}, {model_name} needs {wanted}; {hint}")
        checked[name] = state[name].detach().float().contiguous()
        if not bool(torch.isfinite(checked[name]).all()):
            raise WeightsError(f"{where}: tensor {name} holds values that are not finite; {hint}")
    for name in state:
        if name not in expected:
            raise WeightsError(f"{where} holds the unexpected tensor {name}; {hint}")
    return checked


def hub_state(spec: ModelSpec) -> State | None:
    """timm's pretrained weights, from the local cache or the hub; None when neither is there within seconds.

    Nothing is printed.
    """
    if not spec.pretrained:
        return None
    config = timm.get_pretrained_cfg(spec.timm_name)
    if config is None or not config.hf_hub_id:
        return None
    levels = {name: logging.getLogger(name).level for name in ("huggingface_hub", "timm", "httpx")}
    for name in levels:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        return _hub_file(config.hf_hub_id)
    except Exception:  # whatever the hub client raises offline, the answer is the same: no weights to be had
        return None
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _hub_file(repository: str) -> State | None:
    import huggingface_hub
    from huggingface_hub.utils import disable_progress_bars

    name = "model.safetensors"
    cached = huggingface_hub.try_to_load_from_cache(repository, name)
    if isinstance(cached, str):
        return dict(load_file(cached))
    offline = any(os.environ.get(variable, "").upper() in ("1", "ON", "YES", "TRUE")
                  for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    url = huggingface_hub.hf_hub_url(repository, name)
    if offline or not within(PROBE_SECONDS, lambda: answers(url)):
        return None
    disable_progress_bars()
    return dict(load_file(huggingface_hub.hf_hub_download(repository, name, etag_timeout=PROBE_SECONDS)))


def answers(url: str) -> bool:
    """True when a HEAD request to ``url`` succeeds (through the system's proxy, if one is set)."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PROBE_SECONDS):
            return True
    except OSError:
        return False


def within(seconds: float, function: Callable[[], T]) -> T | None:
    """The result of ``function``, or None when it takes longer; name resolution knows no time limit of its own."""
    result: list[Any] = []
    thread = threading.Thread(target=lambda: result.append(function()), daemon=True)
    thread.start()
    thread.join(seconds)
    return result[0] if result else None
