# SPDX-License-Identifier: MIT
"""Runs unittest modules and prints TAP: tap.py MODULE...

The modules lie beside this file; those that they test are in $top_srcdir/profile.
"""

import os
import signal
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.environ.get("top_srcdir") or os.path.join(HERE, "..", "..")

sys.dont_write_bytecode = True
sys.path[:0] = [HERE, os.path.join(TOP, "profile")]


class Tap(unittest.TestResult):
    """A line for every test; what went wrong follows as comments."""

    def __init__(self):
        super().__init__()
        self.number = 0

    def plan(self):
        """Prints the plan, last: a class that is skipped as a whole is one line."""
        print(f"1..{self.number}", flush=True)

    def _line(self, status, test, directive="", details=""):
        self.number += 1
        name = test.shortDescription() or str(test)
        print(
            f"{status} {self.number} - {test.id().rsplit('.', 1)[-1]}: {name}".replace("#", "\\#")
            + (f" # {directive}" if directive else "")
        )
        for line in details.splitlines():
            print(f"# {line}")
        sys.stdout.flush()

    def addSuccess(self, test):
        super().addSuccess(test)
        self._line("ok", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._line("not ok", test, details=self._exc_info_to_string(err, test))

    def addError(self, test, err):
        super().addError(test, err)
        if isinstance(test, unittest.TestCase):
            self._line("not ok", test, details=self._exc_info_to_string(err, test))
        else:
            print(f"Bail out! {err[1]}", flush=True)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._line("ok", test, f"SKIP {reason}")

    def addSubTest(self, test, subtest, err):
        # What failed is told here; the line "not ok" of the test is printed once, at its end.
        super().addSubTest(test, subtest, err)
        if err is not None:
            for line in f"{subtest}\n{self._exc_info_to_string(err, test)}".splitlines():
                print(f"# {line}")

    def stopTest(self, test):
        super().stopTest(test)
        failed_parts = any(getattr(part, "test_case", None) is test for part, _ in self.failures + self.errors)
        if failed_parts:
            self._line("not ok", test)


def main(names):
    # A shell ignores SIGINT for jobs in the background, and nohup SIGHUP; the programs under test would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    suite = unittest.TestSuite(unittest.defaultTestLoader.loadTestsFromName(name) for name in names)
    result = Tap()
    suite.run(result)
    result.plan()
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
