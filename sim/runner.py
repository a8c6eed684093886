"""Build a design with Verilator, cached by content, and run a cocotb test module on it.

The stock cocotb runner makes every signal of the design visible to Python, which costs a factor of six in speed; here
only the ports of the top module are.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import cocotb_tools.config
from amaranth.hdl import Elaboratable
from cocotb_tools.runner import Verilator

from flows.contracts.errors import SimulationError
from sim.toolchain import build_environment, compiler_identity, has_fst_libraries, require_tools, verilator_root
from sim.verilog_source import Source, convert, ports_of

__all__ = ["Build", "Results", "Source", "TestResult", "build", "run", "simulate"]

ROOT = Path(__file__).resolve().parent.parent
EXCERPT_LINES = 25
"""Lines of a log that an error message quotes."""
DEFAULT_SEED = 1
TIMEOUT_SECONDS = 900.0
"""No simulation runs without a bound."""


@dataclass(frozen=True)
class Build:
    """A simulator executable.

    Attributes
    ----------
    directory : holds the executable; its name ends with the content hash of all inputs
    toplevel : name of the top module
    wave_name : file name of waveforms, or None when built without
    """

    directory: Path
    toplevel: str
    wave_name: str | None


@dataclass(frozen=True)
class TestResult:
    """One cocotb test: ``failure`` is empty when it passed; ``seconds`` of wall clock."""

    __test__ = False

    name: str
    failure: str
    seconds: float


@dataclass(frozen=True)
class Results:
    """What a run of a cocotb module gave.

    Attributes
    ----------
    tests : every test that ran, all of them passed
    log : everything the simulation printed
    wave : waveform file, when traced
    """

    tests: tuple[TestResult, ...]
    log: str
    wave: Path | None


def simulate(design: Elaboratable | Source | Path | str | Sequence[Source | Path | str], *, test_module: str, name: str,
             env: Mapping[str, str] | None = None, sources: Sequence[Source | Path | str] = (),
             toplevel: str | None = None, ports: Mapping[str, object] | None = None,
             parameters: Mapping[str, object] | None = None, plusargs: Sequence[str] = (),
             build_dir: Path | str | None = None, run_dir: Path | str | None = None, assertions: bool = True,
             trace: bool = False, seed: int = DEFAULT_SEED, optimize: str = "-O1",
             testcase: str | Sequence[str] | None = None, timeout: float = TIMEOUT_SECONDS) -> Results:
    """Build ``design`` (once per content) and run the cocotb tests of ``test_module`` on it.

    Parameters
    ----------
    design : an Amaranth component, or Verilog source(s)
    test_module : dotted name of the Python module with ``@cocotb.test`` functions
    name : short name of the build folder
    env : environment variables for the test module
    sources : more Verilog (``.v``, ``.sv``), Verilator control (``.vlt``) or C++ (``.cpp``) files
    toplevel : top module; ``top`` for a component, else the first file's name without suffix
    ports : flat port names of a component, see :func:`sim.verilog_source.convert`
    parameters : Verilog parameters of the top module
    plusargs : arguments such as ``+latency=100``
    build_dir : parent of all builds, ``build/sim`` by default
    run_dir : where the run leaves log, results and waveform; a temporary folder, removed unless traced, by default
    assertions : check assertions of the design; off for long runs
    trace : write a waveform
    seed : of Python's random generator in the test module
    optimize : C++ flags, ``-O1`` compiles fast, ``-O2 -march=native`` runs fast
    testcase : run only these tests
    timeout : seconds of wall clock after which the simulation is ended

    Returns
    -------
    Results

    Raises
    ------
    SimulationError
        When a tool is missing, the build fails, the simulation ends early or hangs, or a test fails; the message
        carries the useful part of the log.
    """
    made = build(design, name=name, sources=sources, toplevel=toplevel, ports=ports, parameters=parameters,
                 build_dir=build_dir, assertions=assertions, trace=trace, optimize=optimize)
    return run(made, test_module=test_module, env=env, plusargs=plusargs, run_dir=run_dir, trace=trace, seed=seed,
               testcase=testcase, timeout=timeout)


def build(design: Elaboratable | Source | Path | str | Sequence[Source | Path | str], *, name: str,
          sources: Sequence[Source | Path | str] = (), toplevel: str | None = None,
          ports: Mapping[str, object] | None = None, parameters: Mapping[str, object] | None = None,
          build_dir: Path | str | None = None, assertions: bool = True, trace: bool = False,
          optimize: str = "-O1") -> Build:
    """Build a simulator, or find the one built before from the same content. Parameters as :func:`simulate`."""
    require_tools()
    files, top = _collect(design, sources, toplevel, ports)
    files.append(_visible_ports(files, top))
    wave_name = (("dump.fst" if has_fst_libraries() else "dump.vcd") if trace else None)
    arguments = ["-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-timing", "-Wno-fatal", "-Wno-WIDTH",
                 "--assert" if assertions else "--noassert"]
    if trace:
        arguments.append("--trace-underscore")  # private signals of a component are what one looks for
    if wave_name == "dump.fst":
        arguments.append("--trace-fst")
    arguments += [f"-G{key}={value}" for key, value in (parameters or {}).items()]
    home = Path(build_dir) if build_dir is not None else ROOT / "build" / "sim"
    target = home.resolve() / f"{name}-{_content_hash(files, top, arguments, trace, optimize)}"
    home.mkdir(parents=True, exist_ok=True)
    # One builder at a time for a target; the others wait and then find it done.
    with _locked(target.with_suffix(".lock")):
        if not target.is_dir():
            _build_into(target, files, top, arguments, trace, optimize)
    return Build(target, top, wave_name)


def run(made: Build, *, test_module: str, env: Mapping[str, str] | None = None, plusargs: Sequence[str] = (),
        run_dir: Path | str | None = None, trace: bool = False, seed: int = DEFAULT_SEED,
        testcase: str | Sequence[str] | None = None, timeout: float = TIMEOUT_SECONDS) -> Results:
    """Run a cocotb module on a built simulator. Parameters and errors as :func:`simulate`."""
    folder = Path(run_dir).resolve() if run_dir is not None else Path(tempfile.mkdtemp(prefix="run-",
                                                                                      dir=made.directory))
    folder.mkdir(parents=True, exist_ok=True)
    log_file, results_file = folder / "run.log", folder / "results.xml"
    runner = _Runner(env=env, timeout=timeout)
    ended = ""
    try:
        runner.test(test_module=test_module, hdl_toplevel=made.toplevel, hdl_toplevel_lang="verilog", seed=seed,
                    testcase=testcase, plusargs=list(plusargs), build_dir=made.directory, test_dir=folder,
                    results_xml=str(results_file), log_file=log_file, waves=trace)
    except (SystemExit, RuntimeError) as error:
        # 124 is the exit status of timeout(1).
        ended = f"it took more than {timeout:g} s" if str(error).endswith("124") else str(error)
    log = log_file.read_text(errors="replace") if log_file.is_file() else ""
    tests = _read_results(results_file)
    _check(test_module, tests, ended, log, log_file)
    wave = folder / made.wave_name if trace and made.wave_name else None
    if run_dir is None and not trace:
        shutil.rmtree(folder, ignore_errors=True)
    return Results(tests, log, wave)


class _Runner(Verilator):
    """cocotb's Verilator runner with only the top's ports public, and the environment that the wheel needs."""

    def __init__(self, optimize: str = "", env: Mapping[str, str] | None = None, runtime: Path | None = None,
                 timeout: float = 0) -> None:
        super().__init__()
        self._timeout = timeout
        self._extra = dict(env or {})
        self._optimize = optimize
        self._runtime = runtime
        self.log.setLevel(logging.CRITICAL)

    def _set_env_build(self) -> None:
        super()._set_env_build()
        self.env.update(build_environment(self._optimize))

    def _set_env_test(self) -> None:
        super()._set_env_test()
        # The base class lets the caller's environment win over its own arguments; the arguments must win here.
        self.env.update(self._extra)
        self.env.setdefault("COCOTB_ANSI_OUTPUT", "0")
        self.env["PYTHONPATH"] = f"{ROOT}{os.pathsep}{self.env['PYTHONPATH']}"

    def _build_command(self) -> list[list[str]]:
        # Verilator itself is run by path: the base class would look for it on the caller's PATH, where the wheel
        # does not put it.
        libraries = cocotb_tools.config.libs_dir
        main = cocotb_tools.config.share_dir / "lib" / "verilator" / "verilator.cpp"
        verilate = [str(verilator_root() / "bin" / "verilator"), "-cc", "--exe", "-Mdir", str(self.build_dir),
                    "--top-module", str(self.hdl_toplevel), "--vpi", "--prefix", "Vtop", "-o", str(self.hdl_toplevel),
                    "-LDFLAGS", f"-Wl,-rpath,{libraries} -L{libraries} -lcocotbvpi_verilator",
                    "--timescale", "1ns/1ps"]
        if self.waves:
            verilate.append("--trace")
        verilate += [*self.build_args, str(main)]
        make = ["make", "-j", str(os.cpu_count() or 1), "-C", str(self.build_dir), "-f", "Vtop.mk",
                f"VM_TRACE={int(self.waves)}"]
        # Copied after verilating: make rebuilds objects that are older than the generated makefile.
        objects = sorted(map(str, self._runtime.glob("*.o"))) if self._runtime is not None else []
        copy = [["cp", *objects, str(self.build_dir)]] if objects else []
        return [verilate, *copy, make]

    def _test_command(self) -> list[list[str]]:
        return [["timeout", "--kill-after=5", str(self._timeout), *command] for command in super()._test_command()]


def _collect(design: object, extra: Sequence[Source | Path | str], toplevel: str | None,
             ports: Mapping[str, object] | None) -> tuple[list[Source], str]:
    if isinstance(design, Elaboratable):
        top = toplevel or "top"
        files = [convert(design, toplevel=top, ports=ports)]
    else:
        given = [design] if isinstance(design, (Source, Path, str)) else list(design)  # type: ignore[call-overload]
        files = [_as_source(item) for item in given]
        top = toplevel or Path(files[0].name).stem
    files += [_as_source(item) for item in extra]
    names = [file.name for file in files]
    if len(set(names)) != len(names):
        raise SimulationError(f"two source files have the same name: {', '.join(sorted(names))}")
    return files, top


def _as_source(item: Source | Path | str) -> Source:
    return item if isinstance(item, Source) else Source.read(item)


def _visible_ports(files: Sequence[Source], top: str) -> Source:
    """Verilator control file that lets cocotb see the ports of the top module and nothing else."""
    text = "\n".join(file.text for file in files if file.name.endswith((".v", ".sv")))
    lines = [f'public_flat_rw -module "{top}" -var "{port}"' for port in ports_of(text, top)]
    return Source("visible_ports.vlt", "\n".join(["`verilator_config", *lines, ""]))


def _content_hash(files: Sequence[Source], top: str, arguments: Sequence[str], trace: bool, optimize: str) -> str:
    digest = hashlib.sha256()
    environment = {key: value for key, value in build_environment(optimize).items() if key == "VERILATOR_ROOT"}
    parts = [top, *arguments, str(trace), optimize, str(environment), str(cocotb_tools.config.libs_dir),
             compiler_identity()]
    for part in parts + [part for file in files for part in (file.name, file.text)]:
        digest.update(f"{len(part)}:".encode() + part.encode())
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _build_into(target: Path, files: Sequence[Source], top: str, arguments: Sequence[str], trace: bool,
                optimize: str) -> None:
    """Build in a temporary folder beside ``target`` and rename it, so that a build is either whole or not there."""
    folder = Path(tempfile.mkdtemp(prefix=f"{target.name}.", suffix=".tmp", dir=target.parent))
    log_file = folder.with_suffix(".log")
    paths = []
    for file in files:
        paths.append(folder / "sources" / file.name)
        paths[-1].parent.mkdir(exist_ok=True)
        paths[-1].write_text(file.text)
    # Control files first: they must be read before the modules they speak of.
    paths.sort(key=lambda path: path.suffix != ".vlt")
    runtime = _runtime_folder(target.parent, trace)
    try:
        _Runner(optimize, runtime=runtime).build(build_args=[*arguments, *map(str, paths)], hdl_toplevel=top,
                                                 build_dir=folder, waves=trace, log_file=log_file)
        _keep_runtime(folder, runtime)
        _discard_intermediates(folder)
        folder.rename(target)
    except (RuntimeError, SystemExit):
        log = log_file.read_text(errors="replace") if log_file.is_file() else ""
        raise SimulationError(f"building {target.name} failed:\n{_build_excerpt(log)}") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        log_file.unlink(missing_ok=True)


def _runtime_folder(home: Path, trace: bool) -> Path:
    """Where the objects of Verilator's run-time library are kept: the same for all designs, seconds to compile."""
    key = "\n".join([compiler_identity(), str(verilator_root()), str(trace), str(has_fst_libraries())])
    return home / f"runtime-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def _keep_runtime(folder: Path, runtime: Path) -> None:
    """Save the run-time library's objects for later builds, unless another build just did."""
    if runtime.is_dir():
        return
    copy = Path(tempfile.mkdtemp(prefix=f"{runtime.name}.", suffix=".tmp", dir=runtime.parent))
    for path in folder.glob("verilated*.o"):
        shutil.copy(path, copy)
    with contextlib.suppress(OSError):
        copy.rename(runtime)
    shutil.rmtree(copy, ignore_errors=True)


def _discard_intermediates(folder: Path) -> None:
    """Drop objects and generated C++ (hundreds of MB over a test run); the executable and the sources stay."""
    for path in folder.iterdir():
        if path.suffix in (".o", ".a", ".gch", ".cpp", ".h", ".d", ".fast", ".slow", ".mk", ".dat"):
            path.unlink()


def _read_results(path: Path) -> tuple[TestResult, ...]:
    if not path.is_file():
        return ()
    tests = []
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        if case.find("skipped") is not None:
            continue
        failure = next((node for node in case if node.tag in ("failure", "error")), None)
        text = "" if failure is None else _failure_text(failure)
        tests.append(TestResult(case.get("name", "?"), text, float(case.get("time", 0))))
    return tuple(tests)


def _failure_text(node: ElementTree.Element) -> str:
    kind = node.get("error_type") or node.get("type") or "failed"
    message = node.get("error_msg") or node.get("message") or (node.text or "").strip()
    return f"{kind}: {message}" if message else kind


def _check(module: str, tests: Sequence[TestResult], ended: str, log: str, log_file: Path) -> None:
    failed = [test for test in tests if test.failure]
    if failed:
        listed = "\n".join(f"  {test.name}: {test.failure}" for test in failed)
        raise SimulationError(f"{len(failed)} of {len(tests)} tests of {module} failed\n{listed}\n"
                              f"{_run_excerpt(log)}\nwhole log: {log_file}")
    if ended or not tests:
        what = f"ended early ({ended})" if ended else "ran no test"
        raise SimulationError(f"simulation of {module} {what}\n{_run_excerpt(log)}\nwhole log: {log_file}")


def _build_excerpt(log: str) -> str:
    lines = log.splitlines()
    at = [index for index, line in enumerate(lines) if re.search(r"%Error|error:|undefined reference", line)]
    first = at[0] if at else max(0, len(lines) - EXCERPT_LINES)
    return "\n".join(lines[first:first + EXCERPT_LINES])


def _run_excerpt(log: str) -> str:
    """The first error of a log with the lines after it, or the log's end."""
    lines = log.splitlines()
    at = [index for index, line in enumerate(lines) if re.search(r"Traceback|%Error|Assertion|ERROR|CRITICAL", line)]
    first = at[0] if at else max(0, len(lines) - EXCERPT_LINES)
    return "\n".join(lines[first:first + EXCERPT_LINES])
