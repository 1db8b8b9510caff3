# Runs the tests, says which could not be run here and why, and removes what they made.
import os
import sys
import unittest

import engine
import harness


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    os.chdir(os.path.dirname(os.path.dirname(folder)))
    loader = unittest.TestLoader()
    if len(sys.argv) > 1:
        tests = loader.loadTestsFromNames(sys.argv[1:])
    else:
        tests = loader.discover(folder)
    try:
        result = unittest.TextTestRunner(verbosity=2).run(tests)
    finally:
        harness.end_all()
        engine.remove_all()
    for name, value in harness.figures:
        print(f"figure: {name}: {value}")
    reasons = sorted({reason for _, reason in result.skipped} | harness.not_run)
    for reason in reasons:
        print(f"NOT RUN HERE: {reason}")
    if result.wasSuccessful():
        print(f"test-image: {result.testsRun - len(result.skipped)} tests passed, "
              f"{len(result.skipped)} not run")
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
