"""``sievit prune``, ``sievit prune-table`` and ``sievit methods``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import Result

from algo.macs import count_work
from algo.prune.methods import Family
from algo.weights import load_weights, read_facts
from flows import prune_table
from flows.cli_base import EXIT_ERROR
from flows.wilson import wilson
from tests.flows.pictures import invoke, write_pack


@pytest.fixture(scope="module", name="pack")
def fixture_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve labelled pictures of ten classes, 32x32."""
    return write_pack(tmp_path_factory.mktemp("pack") / "pack.npz")


@pytest.mark.parametrize("method", ["balanced_magnitude", "kwon"])
def test_prune_writes_weights_that_load(method: str, pack: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "pruned.safetensors"
    result = invoke("prune", "--model", "vit_micro", "--method", method, "--macs", 0.7, "--calibration", pack,
                    "--out", out, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert 0.66 < report["macs_share"] <= 0.7
    state, origin = load_weights("vit_micro", out)
    assert origin == "file pruned.safetensors"
    assert count_work(state, 2).macs == report["macs"] == report["budget"]["cost"]
    facts = read_facts(out)
    assert facts["prune_method"] == method and facts["prune_budget"]["unit"] == "MACs"
    assert facts["keep_tokens"] == 1 and "synthetic (seed 0)" in facts["origin"]
    assert report["neurons"] == [len(state[f"blocks.{index}.mlp.fc1.bias"]) for index in range(3)]


def test_prune_keeps_what_the_file_says(tmp_path: Path) -> None:
    """Token drop and other facts of the dense weights go into the pruned file; options go before."""
    from algo.synthetic import synthetic_state
    from algo.weights import save_weights

    dense, first, second = (tmp_path / f"{name}.safetensors" for name in ("dense", "first", "second"))
    save_weights(synthetic_state("vit_micro", 1), dense, {"keep_tokens": 0.5, "drop_layers": [1], "mean": [0, 0, 0],
                                                          "class_names": list("abcdefghij"), "origin": "a test"})
    command = ["prune", "--model", "vit_micro", "--weights", dense, "--method", "magnitude", "--keep", 0.5, "--json"]
    result = invoke(*command, "--out", first)
    assert result.exit_code == 0, result.output
    facts = read_facts(first)
    assert (facts["keep_tokens"], facts["drop_layers"], facts["mean"]) == (0.5, [1], [0, 0, 0])
    assert facts["class_names"] == list("abcdefghij") and facts["origin"] == "a test, pruned by magnitude"
    other = invoke(*command, "--out", second, "--keep-tokens", 0.8, "--drop-layers", "0,2")
    assert read_facts(second)["drop_layers"] == [0, 2]
    assert json.loads(other.stdout)["macs"] > json.loads(result.stdout)["macs"]


def test_summary_and_method_options(tmp_path: Path) -> None:
    result = invoke("prune", "--model", "vit_micro", "--method", "kwon", "--keep", 0.6, "--option", "rescale=false",
                    "--calibration-images", 6, "--out", tmp_path / "a.safetensors")
    assert result.exit_code == 0, result.output
    assert "pruned by kwon" in result.stdout and "neurons left" in result.stdout
    assert "rescale" not in result.output


@pytest.mark.parametrize(("arguments", "message"), [
    ([], "give one budget: --keep, --macs or --cycles"),
    (["--keep", 0.5, "--macs", 0.5], "give one budget: --keep, --macs or --cycles, not --keep and --macs"),
    (["--macs", 1.5], "--macs must be above 0 and at most 1, not 1.5"),
    (["--cycles", 0], "--cycles must be at least 1, not 0"),
    (["--keep", 0.5, "--method", "nothing"], "unknown pruning method 'nothing'; known: balanced_magnitude"),
    (["--keep", 0.5, "--model", "resnet18"], "is not supported"),
    (["--keep", 0.5, "--weights", "none.safetensors"], "no weights file at none.safetensors"),
    (["--keep", 0.5, "--calibration", "none.npz"], "no data pack at none.npz"),
    (["--keep", 0.5, "--option", "damp"], "--option damp: write name=value"),
    (["--keep", 0.5, "--calibration-images", 0], "--calibration-images must be at least 1, not 0"),
    (["--keep", 0.5, "--drop-layers", "x"], "--drop-layers must be block numbers"),
    (["--keep", 0.5, "--set", "nothing=1"], "no hardware field 'nothing'"),
    (["--macs", 0.01], "no plan meets"),
])
def test_bad_input_is_one_line(arguments: list, message: str, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    result = invoke("prune", "--model", "vit_micro", "--method", "magnitude", "--out", out, "--json", *arguments)
    assert result.exit_code == EXIT_ERROR
    assert message in result.stderr and result.stderr.count("\n") == 1
    assert not out.exists()


def test_out_has_to_be_safetensors(tmp_path: Path) -> None:
    result = invoke("prune", "--keep", 0.5, "--out", tmp_path / "out.pth")
    assert result.exit_code == EXIT_ERROR and "must end in .safetensors" in result.stderr


def table(pack: Path, out: Path, *arguments: object) -> Result:
    return invoke("prune-table", pack, "--model", "vit_micro", "--calibration", pack, "--methods", "magnitude,kwon",
                  "--macs", ".8,.01", "--out", out, *arguments)


def test_table_goes_on_where_it_was(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "table.json"
    monkeypatch.setenv("SIEVIT_DATA", str(pack.parent))
    result = table(pack, out, "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(out.read_text())
    assert content == json.loads(result.stdout)
    assert [(row["method"], row["budget"]) for row in content["rows"]] == \
        [("dense", 1.0), ("magnitude", 0.8), ("magnitude", 0.01), ("kwon", 0.8), ("kwon", 0.01)]
    assert all(0.75 < row["macs_share"] <= 0.8 for row in content["rows"] if row["budget"] == 0.8)
    assert "no plan meets" in content["rows"][2]["error"]
    for row in content["rows"][:2]:
        assert row["top1_interval"] == list(wilson(round(12 * row["top1"]), 12))
    assert content["command"].startswith(f"sievit prune-table $SIEVIT_DATA/{pack.name} --model vit_micro")
    text = out.with_suffix(".md").read_text()
    assert content["command"] in text
    assert "| magnitude | 0.002 G | 7" in text and "| kwon | " in text and "out of reach" in text

    measured = []
    row_of = prune_table._Runner.row

    def counted(self: prune_table._Runner, name: str, family: Family, budget: float) -> dict:
        measured.append((name, budget))
        return row_of(self, name, family, budget)

    monkeypatch.setattr(prune_table._Runner, "row", counted)
    content["rows"].pop()
    out.write_text(json.dumps(content))
    result = table(pack, out)
    assert result.exit_code == 0 and "12 images" in result.stdout
    assert measured == [("kwon", 0.01)]
    assert table(pack, out, "--images", 5).exit_code == 0
    assert len(measured) == 1 + 4
    assert table(pack, out, "--images", 5, "--fresh").exit_code == 0
    assert len(measured) == 1 + 8


def test_table_names_what_it_skips(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from algo.prune import methods

    spec = methods.MethodSpec("learned", lambda subject: pytest.fail("ran"), "training", ("vit",), "Trained.")
    monkeypatch.setitem(methods._METHODS, "learned", spec)
    out = tmp_path / "table.json"
    result = table(pack, out, "--methods", "magnitude,learned")
    assert result.exit_code == 0, result.output
    assert json.loads(out.read_text())["skipped"] == {"learned": "needs training"}
    assert "Not measured: learned (needs training)." in out.with_suffix(".md").read_text()
    refused = invoke("prune", "--model", "vit_micro", "--method", "learned", "--keep", 0.5, "--out",
                     tmp_path / "a.safetensors")
    assert refused.exit_code == EXIT_ERROR and "use 'sievit train'" in refused.stderr


@pytest.mark.parametrize(("arguments", "message"), [
    (["--macs", "a"], "--macs must be shares such as .9,.8,.7, not 'a'"),
    (["--macs", "0"], "--macs must be above 0 and at most 1, not 0"),
    (["--images", "0"], "--images must be at least 1, not 0"),
    (["--methods", "nothing"], "unknown pruning method"),
])
def test_table_refuses(arguments: list, message: str, pack: Path, tmp_path: Path) -> None:
    result = table(pack, tmp_path / "table.json", "--json", *arguments)
    assert result.exit_code == EXIT_ERROR
    assert message in result.stderr


def test_methods_are_listed() -> None:
    specs = json.loads(invoke("methods", "--json").stdout)
    assert {"kwon", "magnitude", "optin", "second_order"} <= {spec["name"] for spec in specs}
    assert "knapsack" not in invoke("methods").stdout
    assert "Trajectory scores" in invoke("methods").stdout


def test_wilson() -> None:
    """Newcombe (1998), table I: 81 of 263 and 0 of 20."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    with pytest.raises(ValueError, match="3 hits out of 2 trials"):
        wilson(3, 2)
