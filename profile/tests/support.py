# SPDX-License-Identifier: MIT
"""Functions that the tests of hakmem profile share."""

import os
import unittest

TESTS = os.path.dirname(os.path.abspath(__file__))
FIXTURES = os.path.join(TESTS, "fixtures")
BUILD = os.environ.get("top_builddir", "")


def fixture(name):
    with open(os.path.join(FIXTURES, name), encoding="utf-8") as file:
        return file.read()


def built(*parts):
    """The path of a file in the build folder; skips the test if it is not there."""
    path = os.path.join(BUILD, *parts)
    if not BUILD or not os.path.exists(path):
        raise unittest.SkipTest(f"{os.path.join(*parts)} is not built")
    return path


class InputErrors(unittest.TestCase):
    """Asserts that a parser refuses a text, naming the file and the line."""

    def refused(self, parse, text, line, words):
        from hakmem_profile.errors import InputError

        with self.assertRaises(InputError) as caught:
            parse(text, "some.txt")
        message = str(caught.exception)
        self.assertEqual(caught.exception.line, line, message)
        self.assertTrue(message.startswith(f"some.txt:{line}: "), message)
        self.assertIn(words, message)
