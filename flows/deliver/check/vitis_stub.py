"""Stands in for ``v++`` and ``xclbinutil``: checks options, kernel description and connections, and makes the files.

``vitis_stub.py vpp|xclbinutil FACTS [FAULT ...] -- ARGUMENTS``
"""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

VPP_VALUES = ("-t", "--platform", "--config", "--kernel_frequency", "--jobs", "--temp_dir", "--log_dir", "--report_dir",
              "--vivado.prop", "-o")
VPP_FLAGS = ("-l", "--save-temps")
PORT_MODES = {"m_axi_gmem": "master", "s_axi_control": "slave"}


def fail(message: str) -> None:
    """End with one line."""
    sys.exit(f"ERROR: {message}")


def options(arguments: list[str], values: tuple[str, ...], flags: tuple[str, ...]) -> tuple[dict[str, str], list[str]]:
    """Options and other words; unknown options end the run."""
    found: dict[str, str] = {}
    rest, words = [], iter(arguments)
    for word in words:
        if word in values:
            found[word] = next(words, "")
        elif word in flags:
            found[word] = "1"
        elif word.startswith("-"):
            fail(f"v++ has no option {word}")
        else:
            rest.append(word)
    return found, rest


def check_kernel(text: str, widths: dict[str, int]) -> None:
    """kernel.xml: ports of the Verilog, arguments without overlap."""
    kernel = ET.fromstring(text).find("kernel")
    if kernel is None:
        fail("kernel.xml has no kernel")
        return
    ports = {port.get("name", ""): port for port in kernel.iter("port")}
    if set(ports) != set(PORT_MODES):
        fail(f"kernel.xml has ports {sorted(ports)}")
    for name, port in ports.items():
        if port.get("mode") != PORT_MODES[name] or int(port.get("dataWidth", "0")) != widths[name]:
            fail(f"kernel.xml: port {name} is not as in the Verilog")
    taken: set[int] = set()
    for number, arg in enumerate(kernel.iter("arg")):
        place = range(int(arg.get("offset", "0"), 16), int(arg.get("offset", "0"), 16) + int(arg.get("size", "0"), 16))
        if arg.get("port") not in ports or arg.get("id") != str(number) or taken & set(place):
            fail(f"kernel.xml: argument {arg.get('name')}")
        taken |= set(place)


def check_link(path: Path, kernel: str) -> None:
    """link.cfg: one instance, and its bus connected to one bank."""
    parser = configparser.ConfigParser(strict=True)
    parser.read_string(path.read_text())
    section = dict(parser["connectivity"])
    if section.get("nk") != f"{kernel}:1:{kernel}_1":
        fail(f"{path.name}: nk={section.get('nk')}")
    if not re.fullmatch(rf"{kernel}_1\.m_axi_gmem:(DDR|HBM)\[\d+\]", section.get("sp", "")):
        fail(f"{path.name}: sp={section.get('sp')}")
    if unknown := set(section) - {"nk", "sp", "slr"}:
        fail(f"{path.name}: unknown {min(unknown)}")


def port_widths(facts: str) -> dict[str, int]:
    """Data widths of the buses, from the facts of the Verilog's ports."""
    found = {}
    for bus, signal in (("m_axi_gmem", "m_axi_gmem_wdata"), ("s_axi_control", "s_axi_control_wdata")):
        match = re.search(rf"\{{{signal}\}} \{{\{{direction\}} \{{\w+\}} \{{width\}} \{{(\d+)\}}", facts)
        found[bus] = int(match[1]) if match else 0
    return found


def link(arguments: list[str], facts_file: str, faults: list[str]) -> None:
    """v++ -l."""
    facts = Path(facts_file).read_text()
    found, rest = options(arguments, VPP_VALUES, VPP_FLAGS)
    for name in ("-l", "-t", "--platform", "--config", "--kernel_frequency", "-o"):
        if not found.get(name):
            fail(f"v++: {name} is missing")
    if found["-t"] != "hw" or len(rest) != 1 or not Path(rest[0]).is_file():
        fail(f"v++: target {found['-t']}, objects {rest}")
    check_kernel(Path("kernel.xml").read_text(), port_widths(facts))
    check_link(Path(found["--config"]), Path(rest[0]).stem)
    if hook := found.get("--vivado.prop"):
        name, _, script = hook.partition("=")
        if name != "run.impl_1.STEPS.OPT_DESIGN.TCL.PRE":
            fail(f"v++: property {name}")
        # The hook runs in the vendor's place-and-route: the same stand-in executes it.
        stub = Path(facts_file).parent / "vivado"
        if subprocess.run([str(stub), "-mode", "batch", "-source", script], check=False).returncode:
            fail("v++: the hook failed")
    if "xo" not in faults:
        Path(found["-o"]).write_text("stub\n")


def information(arguments: list[str], faults: list[str], facts_file: str) -> None:
    """xclbinutil --info --input FILE."""
    if arguments[:2] != ["--info", "--input"] or len(arguments) != 3 or not Path(arguments[2]).is_file():
        fail(f"xclbinutil: {' '.join(arguments)}")
    match = re.search(r"\{clock_mhz\} \{([0-9.]+)\}", Path(facts_file).read_text())
    frequency = float(match[1]) - (17 if "clock" in faults else 0) if match else 0
    sys.stdout.write(f"Clocks\n------\n   Name:      DATA_CLK\n   Index:     0\n   Type:      DATA\n"
                     f"   Frequency: {frequency:g} MHz\n\n   Name:      KERNEL_CLK\n   Index:     1\n"
                     "   Type:      KERNEL\n   Frequency: 500 MHz\n")


def main() -> None:
    """Which tool is meant is the first argument."""
    tool, facts, *words = sys.argv[1:]
    at = words.index("--")
    if tool == "vpp":
        link(words[at + 1:], facts, words[:at])
    else:
        information(words[at + 1:], words[:at], facts)


if __name__ == "__main__":
    main()
