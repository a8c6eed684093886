"""Runs a Tcl script with the interpreter that Python brings along, where there is no ``tclsh``."""

import sys
import tkinter

interpreter = tkinter.Tcl()
interpreter.setvar("argv0", sys.argv[1])
interpreter.call("set", "argv", tuple(sys.argv[2:]))
try:
    interpreter.call("source", sys.argv[1])
except tkinter.TclError as error:
    sys.exit(f"ERROR: {error}")
