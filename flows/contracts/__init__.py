"""What every part agrees on: hardware configuration, numeric constants, artifact and program formats, errors.

Imports nothing from the other packages, so that ``algo``, ``sim.golden`` and ``rtl`` can share it without
importing each other.
"""
