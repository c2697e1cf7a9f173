"""Running the reader's function safely, and comparing what it gives: the working parts of `exercises`."""

from __future__ import annotations

import copy
import ctypes
import math
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


class _OutOfTime(BaseException):
    """Thrown into the thread that runs a function for too long; no `except Exception` holds it back."""


@dataclass
class Outcome:
    """What one call gave: a value, or an error with its line in the function; or it came too late."""

    value: Any = None
    error: BaseException | None = None
    line: int | None = None
    late: bool = False

    @property
    def empty(self) -> bool:
        """Whether the function is still a stub: nothing, the dots, or NotImplementedError came back."""
        if self.late:
            return False
        return isinstance(self.error, NotImplementedError) or (
            self.error is None and (self.value is None or self.value is ...)
        )


def call(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], seconds: float
) -> Outcome:
    """Call `function` and give it `seconds`. Whatever it raises (exit() included) is kept in the outcome.

    The call runs in a thread, which works on every system and in Jupyter; a loop that never ends is broken
    by an exception thrown into that thread. Code that hangs outside Python is left behind as a daemon.
    """
    outcome = Outcome()

    def work() -> None:
        try:
            outcome.value = function(*args, **kwargs)
        except _OutOfTime:
            outcome.late = True
        except (
            BaseException
        ) as error:  # the reader's code may raise anything, and none of it may end the lesson
            outcome.error = error
            steps = traceback.extract_tb(error.__traceback__)
            code = getattr(function, "__code__", None)
            own = [step.lineno for step in steps if code is not None and step.filename == code.co_filename]
            if own and code is not None and own[-1] is not None:
                outcome.line = own[-1] - code.co_firstlineno + 1

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    for _ in range(20):  # a bare except in a loop swallows the first ones
        if not thread.is_alive():
            break
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_OutOfTime)
        )
        thread.join(0.05)
    if thread.is_alive() or (outcome.late and outcome.error is not None):
        return Outcome(late=True)
    return outcome


def fresh(value: Any) -> Any:
    """A deep copy, of torch generators too."""
    if isinstance(value, tuple):
        return tuple(fresh(item) for item in value)
    if isinstance(value, list):
        return [fresh(item) for item in value]
    if isinstance(value, dict):
        return {key: fresh(item) for key, item in value.items()}
    if hasattr(value, "clone_state"):
        return value.clone_state()
    return value if callable(value) and not hasattr(value, "parameters") else copy.deepcopy(value)


def _array(value: Any) -> np.ndarray | None:
    """A number, array or tensor as an array; None for anything else."""
    if isinstance(value, bool | int | float | complex | np.generic | np.ndarray):
        return np.asarray(value)
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        return np.asarray(value.float() if "bfloat16" in str(value.dtype) else value)
    return None


def alike(got: Any, want: Any, relative: float = 1e-5, absolute: float = 1e-7) -> bool:
    """Whether two answers are equal.

    Numbers, arrays and tensors: of one shape and within the tolerance (NaN equals NaN; whole numbers and
    truth values exactly). Texts: exactly. Lists, tuples and dictionaries: item by item.
    """
    a, b = _array(got), _array(want)
    if a is not None and b is not None:
        if a.shape != b.shape:
            return False
        if a.dtype.kind in "biu" and b.dtype.kind in "biu":
            return bool(np.array_equal(a, b))
        return a.dtype.kind in "biufc" and bool(
            np.allclose(a, b, rtol=relative, atol=absolute, equal_nan=True)
        )
    if isinstance(want, list | tuple):
        return (
            isinstance(got, list | tuple)
            and len(got) == len(want)
            and all(alike(g, w, relative, absolute) for g, w in zip(got, want, strict=True))
        )
    if isinstance(want, Mapping):
        return (
            isinstance(got, Mapping)
            and got.keys() == want.keys()
            and all(alike(got[k], want[k], relative, absolute) for k in want)
        )
    return type(got) is type(want) and bool(got == want)


def size_of(value: Any) -> float:
    """How much there is to look at in an input: items of arrays and lists, letters of texts."""
    array = _array(value)
    if array is not None:
        number = abs(float(array)) if array.ndim == 0 and array.dtype.kind in "biuf" else 0.0
        return max(array.size, 1) + (min(number, 1e6) * 1e-7 if math.isfinite(number) else 0.5)
    if isinstance(value, str):
        return 1 + len(value)
    if isinstance(value, Mapping):
        return 1 + sum(size_of(item) for item in value.values())
    if isinstance(value, list | tuple):
        return 1 + sum(size_of(item) for item in value)
    return 1


def text_of(value: Any, most: int = 160) -> str:
    """The value in one short line, numbers to four digits, shape named where it is cut."""
    array = _array(value)
    if array is not None and array.ndim:
        text = np.array2string(array, precision=4, threshold=8, edgeitems=3, separator=", ")
        text = " ".join(text.split())
        return f"{text} of shape {array.shape}" if array.size > 8 or len(text) > most else text
    if isinstance(value, float):
        return f"{value:.6g}"
    if array is not None and hasattr(value, "item"):
        item = value.item()
        return f"{item:.6g}" if isinstance(item, float) else repr(item)
    if isinstance(value, list | tuple) and any(_array(item) is not None for item in value):
        inside = ", ".join(text_of(item, 40) for item in value[:6]) + (", ..." if len(value) > 6 else "")
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    try:
        text = " ".join(repr(value).split())
    except Exception as error:  # a reader's object may fail to print itself
        return f"a {type(value).__name__} that can't be printed ({type(error).__name__})"
    return text if len(text) <= most else text[: most - 3] + "..."
