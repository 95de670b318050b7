"""Judge one case in a child of this process: it may crash, hang or eat memory."""

from __future__ import annotations

import faulthandler
import gc
import os
import re
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, NoReturn

from nnc.errors import InternalError, NncError, VerifyError

SECONDS: Final = 10
MEMORY: Final = 4 << 30
"""Address space that a case may take beside what the parent has."""

# A pass that makes an invalid module is a bug, whatever the model was.
_BUGS: Final = (InternalError, VerifyError)
_RAN, _REJECTED, _FOUND = 0, 10, 11

Outcome = Literal["ran", "rejected", "finding"]


@dataclass(frozen=True)
class Verdict:
    """How a case ended: a right run, an error of nnc's, or something to repair."""

    outcome: Outcome
    kind: str
    """The exception's or signal's name, and where in nnc it came from."""
    text: str


def judge(
    case: Callable[[], object],
    seconds: int = SECONDS,
    memory: int = MEMORY,
    allowed: tuple[type[Exception], ...] = (NncError,),
) -> Verdict:
    """
    Run a case in a forked child.

    It ran if the function returned; it was rejected if it raised one of the `allowed`
    errors that is no sign of a bug. Anything else is a finding: other exceptions,
    signals, and more than `seconds`.
    """
    read, write = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if not child:
        os.close(read)
        _run_child(partial(_outcome, case, allowed), write, seconds, memory)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        text = pipe.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        kind = f"more than {seconds} s" if name == "SIGALRM" else name
        return Verdict("finding", f"{kind} {_deepest_frame(text)}", text)
    kind = text.rstrip().rpartition("\n")[2][:200]
    code = os.WEXITSTATUS(status)
    if code == _RAN:
        return Verdict("ran", "", text)
    return Verdict("rejected" if code == _REJECTED else "finding", kind, text)


def _run_child(
    run: Callable[[], int], output: int, seconds: int, memory: int
) -> NoReturn:
    code = _FOUND
    try:
        gc.freeze()
        os.dup2(output, 2)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        faulthandler.enable(sys.stderr)
        # Shows where it was; the alarm then ends the child even within native code.
        faulthandler.dump_traceback_later(seconds - 0.5)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)
        limit = _address_space() + memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        warnings.simplefilter("ignore")
        code = run()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _outcome(case: Callable[[], object], allowed: tuple[type[Exception], ...]) -> int:
    try:
        case()
    except Exception as error:
        is_bug = not isinstance(error, allowed) or isinstance(error, _BUGS)
        traceback.print_exc(limit=None if is_bug else 0)
        cause = error.__cause__ if isinstance(error, _BUGS) else None
        frames = traceback.extract_tb((cause or error).__traceback__)
        inside = [f for f in frames if "/nnc/" in f.filename] or frames
        where = (
            getattr(error, "kind", "")
            or f"{inside[-1].filename.rpartition('/nnc/')[2]}:{inside[-1].name}"
        )
        print(f"{type(cause or error).__name__} in {where}", file=sys.stderr)
        return _FOUND if is_bug else _REJECTED
    return _RAN


def _deepest_frame(text: str) -> str:
    """The innermost function of nnc's in what `faulthandler` wrote last."""
    found = re.findall(r'File "[^"]*/nnc/([^"]*)", line \d+ in (\S+)', text)
    return f"in {found[0][0]}:{found[0][1]}" if found else "in native code"


def _address_space() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()
