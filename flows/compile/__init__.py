"""Compiler: a pruned, quantized network and a hardware configuration become a program.

``compile_program`` is a pure function. Steps (:mod:`.steps`) are scheduled (:mod:`.schedule`, judged by
:mod:`.lower_bound`), laid out (:mod:`.layout`, :mod:`.writes`) and assembled (:mod:`.program`); :mod:`.cycles` predicts
how long the hardware takes.
"""

from flows.compile.cycles import Estimate, estimate
from flows.compile.fit import check_fit, config_for, default_config
from flows.compile.program import Program, compile_program, image_words
from flows.compile.program_file import load_program, save_program
from flows.compile.table import summary

__all__ = ["Estimate", "Program", "check_fit", "compile_program", "config_for", "default_config", "estimate",
           "image_words", "load_program", "save_program", "summary"]
