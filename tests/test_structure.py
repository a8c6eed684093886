"""The structure of the project: which package may import which, and that imports make no circle."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("algo", "boards", "flows", "hls_models", "rtl", "sim")

# What a part may import besides itself. Longest prefix wins; whatever is not listed may import anything.
ALLOWED = {
    "flows.contracts": (),
    "algo": ("flows.contracts",),
    "rtl": ("flows.contracts",),
    "sim.golden": ("flows.contracts",),
    "sim": ("flows.contracts", "rtl", "sim.golden", "boards.driver"),  # the driver's transport into a simulation
    "flows.compile": ("flows.contracts",),
    "boards": ("flows.contracts",),
    "hls_models": ("flows.contracts", "flows.cache", "sim.probes", "sim.toolchain", "sim.verilog_source"),
}


def modules() -> dict[str, Path]:
    """Every module of the product by dotted name."""
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path], *, top_level: bool) -> set[str]:
    """Modules of the project that a file imports; ``top_level`` leaves out imports inside functions."""
    tree = ast.parse(path.read_text())
    inner = {id(node) for function in ast.walk(tree) if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
             for node in ast.walk(function)} if top_level else set()
    found = set()
    for node in ast.walk(tree):
        if id(node) in inner:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            # The driver is copied into a package of another name; nothing else has a reason for relative imports.
            assert path.parent == ROOT / "boards" / "driver" and node.level == 1, f"{path}: relative import"
            found.add(f"boards.driver.{node.module}")
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in known else node.module
                      for alias in node.names}
    return {name for name in found if name.split(".")[0] in PACKAGES}


def within(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(f"{prefix}.")


def rule_of(module: str) -> str | None:
    return max((prefix for prefix in ALLOWED if within(module, prefix)), key=len, default=None)


def test_one_way() -> None:
    """Data flow one way: nobody imports what comes later, and rtl, sim.golden and algo do not know each other."""
    known = modules()
    assert len(known) > 60
    checked = 0
    for module, path in known.items():
        rule = rule_of(module)
        if rule is None:
            continue
        checked += 1
        for target in imports(path, known, top_level=False):
            allowed = (rule, *ALLOWED[rule])
            assert any(within(target, prefix) for prefix in allowed), f"{module} must not import {target}"
    assert checked > 50


def test_golden_does_not_lean_on_sim() -> None:
    """sim.golden is a part of its own: nothing in it may import the simulator side."""
    known = modules()
    for module, path in known.items():
        if within(module, "sim.golden"):
            for target in imports(path, known, top_level=False):
                assert within(target, "sim.golden") or within(target, "flows.contracts"), f"{module}: {target}"


def test_no_import_cycle() -> None:
    """No circle of imports at module level."""
    known = modules()
    graph = {module: imports(path, known, top_level=True) & set(known) - {module} for module, path in known.items()}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        if module in trail:
            pytest.fail("import cycle: " + " -> ".join([*trail[trail.index(module):], module]))
        if module in done:
            return
        for target in sorted(graph[module]):
            # A package is only named on the way to one of its modules; its own __init__ imports them anyway.
            if not within(module, target):
                visit(target, (*trail, module))
        done.add(module)

    for module in sorted(graph):
        visit(module, ())


@pytest.mark.parametrize("unit", ["cluster", "requant", "gelu", "softmax", "residual", "layer_norm", "token_drop"])
def test_mirror_rule(unit: str) -> None:
    """A unit that computes has one name in every room."""
    for room in (f"sim/golden/{unit}.py", f"rtl/{unit}.py", f"tests/rtl/test_{unit}.py", f"hls_models/{unit}.hpp",
                 f"tests/hls/test_{unit}.py"):
        assert (ROOT / room).is_file(), f"{room} is missing"


def test_packages_say_what_lives_there() -> None:
    """Each top-level folder has a docstring."""
    for package in (*PACKAGES, "tests"):
        assert ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text())), package
