# Cases that wait more than they work, a few at a time, each in a process of its own: what it opens
# and starts is no other's, and ends with it. None of them may measure delays.
import multiprocessing
import multiprocessing.connection
import time

import harness

import register
from verdicts import Verdicts

AT_A_TIME = 4
_fork = multiprocessing.get_context("fork")


def run(cases, is_late):
    """Yields each case that was begun with its verdicts and seconds, as they end."""
    waiting, running = list(cases), {}
    try:
        while running or waiting and not is_late():
            while waiting and len(running) < AT_A_TIME and not is_late():
                begin(waiting.pop(0), running)
            for answer in multiprocessing.connection.wait(list(running)):
                one, process = running.pop(answer)
                yield one, *outcome(one, answer)
                process.join()
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.join()


def begin(one, running):
    answer, told = _fork.Pipe(duplex=False)
    process = _fork.Process(target=attend, args=(one, told))
    process.start()
    told.close()
    running[answer] = one, process


def attend(one, told):
    found, began = Verdicts(show=lambda _: None), time.monotonic()
    found.case = one.name
    try:
        register.run(one, found)
    finally:
        harness.end_all()
    told.send((found.rows, time.monotonic() - began))


def outcome(one, answer):
    with answer:
        try:
            return answer.recv()
        except EOFError:
            found = Verdicts(show=lambda _: None)
            found.case = one.name
            found.check("broke off", "without a word", "to the end", False)
            return found.rows, 0
