# SPDX-License-Identifier: MIT
"""The line on the terminal that names the current step; none if standard error is no terminal."""

import os
import sys


class Progress:
    def __init__(self, steps, stream=sys.stderr):
        self.stream = stream
        self.enabled = stream.isatty()
        self.steps = steps
        self.done = 0

    def step(self, text):
        self.done += 1
        if self.enabled:
            try:
                width = os.get_terminal_size(self.stream.fileno()).columns or 80
            except OSError:
                width = 80
            line = f"hakmem profile: {self.done}/{self.steps} {text}"
            self._write("\r\x1b[K" + line[: width - 1])

    def clear(self):
        """Removes the line, so that others can write to the terminal."""
        if self.enabled:
            self._write("\r\x1b[K")

    def say(self, text):
        """A message that stays, on a terminal or not."""
        self.clear()
        self._write(f"hakmem profile: {text}\n")

    def _write(self, text):
        # A terminal that has hung up must not cost the report.
        try:
            self.stream.write(text)
            self.stream.flush()
        except OSError:
            self.enabled = False
