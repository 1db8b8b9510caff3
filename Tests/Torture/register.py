# The cases' register: what there is, what each needs of the machine, which are in the slice for
# continuous integration, and which may run beside others.
import dataclasses
import functools

import spaces
import tracing
from verdicts import NotHere

CASES = []
NEEDS = {"ptrace": functools.cache(tracing.missing), "spaces": functools.cache(spaces.missing)}


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    body: object
    needs: str
    in_slice: bool
    alone: bool


def case(name, needs="", in_slice=True, alone=True):
    """Registers a function of the verdicts. Not `alone`: it measures no delays, mostly waits."""
    def register(body):
        CASES.append(Case(name, body, needs, in_slice, alone))
        return body
    return register


def missing(one):
    """What the machine lacks for it."""
    return NEEDS[one.needs]() if one.needs else None


def run(one, verdicts):
    """Whatever happens in it, the next one is run."""
    try:
        lacks = missing(one)
        if lacks:
            raise NotHere(lacks)
        one.body(verdicts)
    except NotHere as reason:
        verdicts.not_run(reason)
    except (AssertionError, OSError, ValueError, KeyError) as error:
        verdicts.check("broke off", f"{type(error).__name__}: {error}"[:300], "to the end", False)
