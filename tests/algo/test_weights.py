"""Loading of weights: strict for files, quick to give up on the hub, synthetic as a last resort."""

import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from algo.models import build_model, model_spec
from algo.synthetic import synthetic_state
from algo.weights import hub_state, load_weights, read_facts, save_weights, within
from flows.contracts.errors import ConfigError, WeightsError


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return synthetic_state("vit_micro", 3)


def write(state: dict[str, torch.Tensor], path: Path) -> Path:
    save_file(state, str(path))
    return path


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"model": s}, lambda s: {"state_dict": s, "epoch": 3}])
def test_pth(state: dict, tmp_path: Path, wrap) -> None:
    torch.save(wrap(state), tmp_path / "w.pth")
    loaded, origin = load_weights("vit_micro", tmp_path / "w.pth")
    assert origin == "file w.pth"
    assert all(torch.equal(loaded[name], state[name]) for name in build_model("vit_micro").state_dict())


def test_half_precision_safetensors(state: dict, tmp_path: Path) -> None:
    path = write({name: tensor.half() for name, tensor in state.items()}, tmp_path / "micro.safetensors")
    loaded, origin = load_weights("vit_micro", path)
    assert origin == "file micro.safetensors"
    assert all(tensor.dtype == torch.float32 for tensor in loaded.values())
    assert torch.allclose(loaded["head.weight"], state["head.weight"], atol=1e-3)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no weights file at .*none\.pth"):
        load_weights("vit_micro", tmp_path / "none.pth")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("keep", [0.0, 0.001, 0.5, 0.99])
def test_truncated_file(state: dict, tmp_path: Path, name: str, keep: float) -> None:
    path = tmp_path / name
    if name.endswith("pth"):
        torch.save(state, path)
    else:
        write(state, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(WeightsError, match="is no weights file or is truncated") as caught:
        load_weights("vit_micro", path)
    assert "\n" not in str(caught.value)


def test_file_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_text("not weights at all " * 100)
    with pytest.raises(WeightsError, match="is no weights file"):
        load_weights("vit_micro", path)
    torch.save([1, 2], path)
    with pytest.raises(WeightsError, match="holds no state dict"):
        load_weights("vit_micro", path)


def test_missing_tensor(state: dict, tmp_path: Path) -> None:
    path = write({k: v for k, v in state.items() if k != "blocks.1.attn.proj.bias"}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"lacks the tensor blocks\.1\.attn\.proj\.bias"):
        load_weights("vit_micro", path)


def test_unexpected_tensor(state: dict, tmp_path: Path) -> None:
    path = write({**state, "dist_token": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="holds the unexpected tensor dist_token"):
        load_weights("vit_micro", path)


def test_wrong_shape(state: dict, tmp_path: Path) -> None:
    path = write({**state, "norm.weight": torch.zeros(7)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"tensor norm\.weight is \(7,\), vit_micro needs \(64,\)"):
        load_weights("vit_micro", path)


def test_other_classes_image_size_and_hidden_neurons(tmp_path: Path) -> None:
    other = build_model("vit_micro", [32, 48, 64], classes=7, image_size=48).state_dict()
    loaded, _ = load_weights("vit_micro", write(other, tmp_path / "w.safetensors"))
    assert {name: tensor.shape for name, tensor in loaded.items()} == {name: t.shape for name, t in other.items()}
    # a head that fits no class count, and positions that are no square, are errors and no new sizes
    for name, tensor in (("head.bias", torch.zeros(5)), ("pos_embed", torch.zeros(1, 13, 64))):
        with pytest.raises(WeightsError, match=f"tensor {name}".replace(".", r"\.")):
            load_weights("vit_micro", write({**other, name: tensor}, tmp_path / "bad.safetensors"))


def test_facts_travel_with_the_weights(state: dict, tmp_path: Path) -> None:
    facts = {"class_names": ["cat", "dog"], "keep_tokens": 0.7}
    save_weights(state, tmp_path / "w.safetensors", facts)
    assert read_facts(tmp_path / "w.safetensors") == facts
    loaded, _ = load_weights("vit_micro", tmp_path / "w.safetensors")
    assert all(torch.equal(loaded[name], state[name]) for name in state)
    assert read_facts(write(state, tmp_path / "plain.safetensors")) == {}
    save_file(state, str(tmp_path / "bad.safetensors"), metadata={"sievit": "[1"})
    with pytest.raises(WeightsError, match="its sievit metadata are no JSON object"):
        read_facts(tmp_path / "bad.safetensors")


def test_not_finite(state: dict, tmp_path: Path) -> None:
    path = write({**state, "norm.bias": torch.full((64,), float("nan"))}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"tensor norm\.bias holds values that are not finite"):
        load_weights("vit_micro", path)


def test_synthetic_weights_say_so_and_are_seeded() -> None:
    first, origin = load_weights("vit_micro", None, 5)
    again, _ = load_weights("vit_micro", None, 5)
    other, _ = load_weights("vit_micro", None, 6)
    assert origin == "synthetic (seed 5), no trained weights were available"
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)
    build_model("vit_micro").load_state_dict(first)


def test_unreachable_hub_is_given_up_quietly(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *args: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_url", lambda *args: "http://127.0.0.1:9/model.safetensors")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    start = time.monotonic()
    assert hub_state(model_spec("deit_t")) is None
    assert time.monotonic() - start < 5
    assert capfd.readouterr() == ("", "")


def test_weights_in_the_hub_cache_are_used(monkeypatch: pytest.MonkeyPatch, state: dict, tmp_path: Path) -> None:
    import huggingface_hub

    path = write(state, tmp_path / "model.safetensors")
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repository, name: str(path))
    loaded = hub_state(model_spec("deit_t"))
    assert loaded is not None and torch.equal(loaded["head.weight"], state["head.weight"])


def test_time_limit() -> None:
    assert within(5, lambda: 3) == 3
    assert within(0.05, lambda: time.sleep(2)) is None


def test_synthetic_on_demand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The hub is not even asked; a file together with it makes no sense."""
    monkeypatch.setattr("algo.weights.hub_state", lambda spec: pytest.fail("asked the hub"))
    loaded, origin = load_weights("deit_t", seed=4, synthetic=True)
    assert origin == "synthetic (seed 4)"
    assert torch.equal(loaded["head.weight"], synthetic_state("deit_t", 4)["head.weight"])
    with pytest.raises(ConfigError, match="weights are either synthetic or those of"):
        load_weights("deit_t", tmp_path / "w.pth", synthetic=True)
