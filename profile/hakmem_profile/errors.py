# SPDX-License-Identifier: MIT
"""Errors that a user is told in one line."""


class InputError(Exception):
    """Text of another program that cannot be parsed; names the file, the line, and what is wrong."""

    def __init__(self, source, line, message):
        self.source = source
        self.line = line
        super().__init__(f"{source}:{line}: {message}" if line else f"{source}: {message}")


class UsageError(Exception):
    """A command line or an installation that cannot work."""

    status = 2


class CannotRun(UsageError):
    """The program cannot be run; the status is what a shell would return."""

    def __init__(self, program, error):
        super().__init__(f"{program}: {'not found' if isinstance(error, FileNotFoundError) else error.strerror}")
        self.status = 127 if isinstance(error, FileNotFoundError) else 126
