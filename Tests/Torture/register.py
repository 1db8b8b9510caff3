# The cases' register: what there is, what each needs of the machine, and which of them are in the
# slice for continuous integration.
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


def case(name, needs="", in_slice=True):
    """Registers a function of the verdicts."""
    def register(body):
        CASES.append(Case(name, body, needs, in_slice))
        return body
    return register


def run(one, verdicts):
    """Whatever happens in it, the next one is run."""
    try:
        missing = NEEDS[one.needs]() if one.needs else None
        if missing:
            raise NotHere(missing)
        one.body(verdicts)
    except NotHere as reason:
        verdicts.not_run(reason)
    except (AssertionError, OSError, ValueError, KeyError) as error:
        verdicts.check("broke off", f"{type(error).__name__}: {error}"[:300], "to the end", False)
