"""Verifiers: functions that compare a completion with the answer and return a reward, 0 to 1."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import operator
import re
import sys
from collections.abc import Callable
from decimal import Decimal
from numbers import Real
from pathlib import Path
from typing import Any

from grpo_worker.schema.errors import TaskError

Verify = Callable[[str, str], float]

TIMEOUT_S = 2
"""How long ``math`` may take to parse a completion, and again to compare it with the answer."""

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def load_verifier(name: str) -> Verify:
    """The verifier with a name: ``exact``, ``number``, ``math``, or ``module:function``, a function of the user's.

    Raises:
        TaskError: Its package, module or function does not exist.
    """
    if ":" in name:
        return _users_verifier(name)
    return {"exact": lambda: exact, "number": lambda: number, "math": _math_verifier}[name]()


def exact(completion: str, answer: str) -> bool:
    """The completion equals the answer, apart from white space around them."""
    return completion.strip() == answer.strip()


def number(completion: str, answer: str) -> bool:
    """The last number in the completion equals the last number in the answer; both may have commas at thousands."""
    found, wanted = _NUMBER.findall(completion), _NUMBER.findall(answer)
    return bool(found and wanted) and _value(found[-1]) == _value(wanted[-1])


def _value(text: str) -> Decimal:
    return Decimal(text.replace(",", ""))


def _math_verifier() -> Verify:
    """Mathematical equality of LaTeX or plain text, from math-verify; what it cannot decide in 2 s counts as wrong."""
    try:
        from math_verify import parse, verify
    except ImportError as error:
        raise TaskError("task.verifier 'math' needs math-verify: pip install 'stalesweep[math]'") from error

    @functools.cache
    def gold(answer: str) -> Any:
        return parse(answer if "$" in answer or "\\boxed" in answer else f"${answer}$")

    def math(completion: str, answer: str) -> bool:
        found = parse(completion, parsing_timeout=TIMEOUT_S)
        return bool(verify(gold(answer), found, timeout_seconds=TIMEOUT_S))

    return math


def _users_verifier(name: str) -> Verify:
    """A function of the user's, with a check of its rewards; its module may lie in the working directory.

    Errors never quote what the name stands for or what the function returned: either may hold a secret, and errors are
    stored in the database.
    """
    module_name, _, function_name = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # Python adds it neither for a console script nor for a job
    try:
        module = importlib.import_module(module_name)
        function = operator.attrgetter(function_name)(module)
    except (ImportError, SyntaxError, AttributeError) as error:
        raise TaskError(f"task.verifier {name!r} cannot be imported from {Path.cwd()}: {error}") from error
    if not inspect.isfunction(function) or function.__module__.partition(".")[0] in sys.stdlib_module_names:
        kind = type(function).__name__
        raise TaskError(f"task.verifier {name!r} must be a function of a module of yours, which this {kind} is not")

    def verify(completion: str, answer: str) -> float:
        reward = function(completion, answer)
        with contextlib.suppress(AttributeError, TypeError, ValueError, RuntimeError):
            reward = reward.item()  # a scalar of numpy or torch
        if not isinstance(reward, Real) or not 0 <= float(reward) <= 1:
            what = repr(float(reward)) if isinstance(reward, Real) else f"a {type(reward).__name__}"
            raise TaskError(
                f"task.verifier {name!r} must return True, False or a number from 0 to 1; it returned {what} "
                f"for the completion {completion[:60]!r} and the answer {answer[:60]!r}"
            )
        return float(reward)

    return verify
