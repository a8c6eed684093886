"""Golden model (``sim.golden``), cocotb benches and the simulator runner."""
