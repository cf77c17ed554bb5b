"""The line of the user's program that is being run, for messages and for generated code."""

import sys
from linecache import getline
from os.path import dirname
from types import CodeType
from typing import TypeAlias

import numpy as np

Line: TypeAlias = tuple[str, int, str]  # file, number, function

NOWHERE: Line = ("", 0, "")

_OURS = dirname(dirname(__file__)), dirname(str(np.__file__))


def is_ours(code: CodeType) -> bool:
    """Whether code is of this library or of NumPy."""
    return code.co_filename.startswith(_OURS)


def users_line() -> Line:
    """The innermost line outside this library and NumPy; failing that, the outermost."""
    frame = sys._getframe(1)
    while is_ours(frame.f_code) and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name


def line_of(error: BaseException) -> Line:
    """The user's line that an exception came from, the innermost one."""
    found = NOWHERE
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if not is_ours(code):
            found = code.co_filename, trace.tb_lineno, code.co_name
        trace = trace.tb_next
    return found


def quoted(line: Line) -> str:
    """A line as a traceback shows it; nothing where it is not known."""
    if line == NOWHERE:
        return ""
    file, number, function = line
    code = getline(file, number).strip()
    return f'\n  File "{file}", line {number}, in {function}' + (f"\n    {code}" if code else "")
