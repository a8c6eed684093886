"""The schema of a sweep: what it means, and how it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.cache import ROOT
from flows.contracts.errors import ConfigError
from flows.shipped import shipped_artifact
from flows.sweep.plan import load_plan, plan_of

NETWORK = {"networks": {"model": "vit_micro"}}


def test_default_has_sixty_points_and_more() -> None:
    plan = load_plan()
    assert len(plan.specs()) * len(plan.configurations()) * len(plan.boards) >= 60
    shipped = [spec for spec in plan.specs() if spec.artifact is not None]
    assert {spec.artifact for spec in shipped} == {shipped_artifact("deit_t")}
    assert [spec.keep_tokens for spec in shipped] == [1, .85, .7, .6, .5]


def test_grid_of_networks_and_hardware() -> None:
    plan = plan_of({"networks": [{"model": "vit_micro", "keep_blocks": [1, .5], "keep_tokens": [1, .7]},
                                 {"model": "vit_micro", "keep_blocks": .5, "keep_tokens": .7}],
                    "hardware": {"clusters": [2, 2, 4], "groups": 1}}, "x")
    shares = [(spec.keep_blocks, spec.keep_tokens) for spec in plan.specs()]
    assert shares == [(1, 1), (1, .7), (.5, 1), (.5, .7)]
    assert plan.configurations() == [{"clusters": 2, "groups": 1}, {"clusters": 4, "groups": 1}]


def test_the_file_in_the_documentation(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "sweep.md").read_text().split("```yaml\n", 1)[1].split("```", 1)[0]
    (tmp_path / "sweep.yaml").write_text(text)
    plan = load_plan(tmp_path / "sweep.yaml")
    assert len(plan.specs()) == 9 and len(plan.configurations()) == 6 and plan.boards == ("kv260", "zcu102", None)
    assert plan.images == tmp_path / "validation.npz" and plan.search.method == "halving"


def test_no_option_means_the_shipped_network() -> None:
    (spec,) = plan_of({"networks": {"model": "deit_t"}}, "x").specs()
    assert spec.artifact == shipped_artifact("deit_t") and spec.label == "deit_t (shipped)"
    (other,) = plan_of({"networks": {"model": "deit_t", "keep_tokens": .7}}, "x").specs()
    assert other.artifact is None


def test_labels_and_references() -> None:
    (spec,) = plan_of({"networks": {"weights": "some/w.pth", "keep_blocks": .5, "keep_tokens": .7}}, "x").specs()
    assert spec.label == "deit_t (w.pth), blocks 0.5, tokens 0.7"
    assert spec.reference.label == "deit_t (w.pth), blocks 1, tokens 1"
    (made,) = plan_of({"networks": {"artifact": "some/a.safetensors"}}, "x").specs()
    assert (made.label, made.reference.label) == ("a.safetensors", "a.safetensors, tokens 1")


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "sweep.yaml"
    file.parent.mkdir()
    file.write_text("networks: {weights: w.pth}\nboards: [mine.yaml, kv260, null]\nimages: pack.npz\n")
    plan = load_plan(file)
    assert plan.networks[0].weights == file.parent / "w.pth"
    assert plan.boards == (str(file.parent / "mine.yaml"), "kv260", None)
    assert plan.images == file.parent / "pack.npz"


@pytest.mark.parametrize(("content", "message"), [
    ({}, "networks: field required"),
    ({**NETWORK, "board": "kv260"}, "board: extra inputs are not permitted"),
    ({"networks": {"keep_blocks": [0]}}, "networks.0.keep_blocks.0: input should be greater than 0"),
    ({"networks": {"artifact": "a", "keep_blocks": .5}}, "networks.0: an artifact has its weights and blocks"),
    ({**NETWORK, "hardware": {"cluster": 4}}, "no hardware field 'cluster'; known: "),
    ({**NETWORK, "hardware": {"clusters": "many"}}, "hardware.clusters takes whole numbers, not 'many'"),
    ({**NETWORK, "hardware": {"clusters": []}}, "hardware.clusters has no value"),
    ({**NETWORK, "search": {"method": "random"}}, "search: method random needs samples"),
    ({**NETWORK, "search": {"samples": 3}}, "search: method grid takes all points"),
    ({**NETWORK, "limits": {"luts": .5}}, "limits: luts: unknown resource"),
    ({**NETWORK, "engine": "rtl"}, "engine: input should be 'golden' or 'hls'"),
])
def test_refuses(content: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_of(content, "sweep")
    assert str(caught.value).startswith(f"sweep: {message}") and "\n" not in str(caught.value)


def test_refuses_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read sweep file .*: No such file"):
        load_plan(tmp_path / "absent.yaml")
    file = tmp_path / "a.yaml"
    file.write_text("networks: [")
    with pytest.raises(ConfigError, match="is no YAML"):
        load_plan(file)
    file.write_text("- 1")
    with pytest.raises(ConfigError, match="must hold keys and values"):
        load_plan(file)
    with pytest.raises(ConfigError, match="no trained network of 'vit_micro' comes with sievit"):
        plan_of({"networks": {"model": "vit_micro", "artifact": "shipped"}}, "x").specs()
