# SPDX-License-Identifier: MIT
"""Runs the program: once for the user to see, then timed.

Timed runs of the allocators are interleaved, because a machine changes its speed: the last one would pay for the heat
of the others.  Each round runs every allocator once, and begins with another one.
"""

import os
import select
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass

from .errors import CannotRun, UsageError


@dataclass
class Run:
    """One run: seconds, bytes and counts; `status` is a shell's, 128 + n for signal n."""

    wall: float
    user: float
    sys: float
    peak_rss: int
    minor_faults: int
    major_faults: int
    voluntary_switches: int
    involuntary_switches: int
    status: int


class Interrupted(Exception):
    """A signal asked for the end: the report has what was measured until then."""


class Guard:
    """Handles SIGINT, SIGTERM and SIGHUP while a child runs.

    A signal is passed on to the child; when the child has ended, check() raises Interrupted.  A terminal sends SIGINT
    to the child by itself, so that this one is not passed on.  The third signal kills the child.
    """

    def __init__(self):
        self.child = None
        self.count = 0
        self.signal = None

    def install(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Signals that nohup or a shell has set to be ignored stay ignored.
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._handle)

    def _handle(self, number, _frame):
        self.count += 1
        self.signal = number
        if self.child is None:
            return
        try:
            if self.count >= 3:
                self.child.kill()
            elif number != signal.SIGINT or not self._sent_by_terminal():
                self.child.send_signal(number)
        except ProcessLookupError:
            pass

    @staticmethod
    def _sent_by_terminal():
        for fd in (0, 1, 2):
            try:
                return os.tcgetpgrp(fd) == os.getpgrp()
            except OSError:
                continue
        return False

    def check(self):
        if self.signal is not None:
            raise Interrupted

    def wait(self, child, timeout=None):
        """Waits for a child: its exit status, or None if the timeout ended it by SIGTERM."""
        self.child = child
        try:
            return child.wait(timeout)
        except subprocess.TimeoutExpired:
            child.terminate()
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            return None
        finally:
            self.child = None


class Input:
    """Standard input, the same for every run: a pipe's contents are kept in a file, a terminal is left alone."""

    def __init__(self):
        self.file = None
        self.start = 0
        try:
            mode = os.fstat(0).st_mode
        except OSError:
            self.file = open(os.devnull, "rb")
            return
        if os.isatty(0):
            return
        if mode & 0o170000 == 0o100000:
            self.start = os.lseek(0, 0, os.SEEK_CUR)
        elif mode & 0o170000 in (0o010000, 0o140000):
            try:
                self._keep()
            except OSError as error:
                raise UsageError(f"cannot keep standard input in {tempfile.gettempdir()}: {error.strerror}") from None

    def _keep(self):
        self.file = tempfile.TemporaryFile()
        while True:
            block = os.read(0, 1 << 20)
            if not block:
                break
            self.file.write(block)
        self.file.flush()

    def rewound(self):
        """The descriptor for a child's standard input, at its beginning."""
        fd = self.file.fileno() if self.file else 0
        try:
            os.lseek(fd, self.start, os.SEEK_SET)
        except OSError:
            pass
        return fd


def shell_status(status):
    return 128 - status if status < 0 else status


class Runner:
    def __init__(self, program, guard, measure=None):
        self.program = program
        self.guard = guard
        self.measure = measure  # path of the helper; None: this process measures, and the peak may be its own
        self.input = Input()

    def show(self, allocator, before=(), extra_environment=None):
        """The run whose output the user sees; returns its exit status."""
        environment = {**allocator.environment(before), **(extra_environment or {})}
        try:
            child = subprocess.Popen(self.program, env=environment, stdin=self.input.rewound())
        except OSError as error:
            raise CannotRun(self.program[0], error) from None
        status = shell_status(self.guard.wait(child))
        self.guard.check()
        return status

    def timed(self, allocator):
        if self.measure:
            run = self._by_helper(allocator)
        else:
            run = self._by_itself(allocator)
        self.guard.check()
        return run

    def _by_helper(self, allocator):
        reader, writer = os.pipe()
        command = [self.measure, str(writer), allocator.preload_value(), *self.program]
        with os.fdopen(reader) as results:
            child = subprocess.Popen(
                command,
                stdin=self.input.rewound(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[writer],
            )
            os.close(writer)
            self.guard.wait(child)
            # A background process that the program left behind cannot hold this pipe: the helper closes it on exec.
            ready = select.select([results], [], [], 5)[0]
            fields = results.readline().split() if ready else []
        self.guard.check()
        if len(fields) != 9:
            raise UsageError(
                f"{self.program[0]}: cannot be run again"
                + (f": {os.strerror(int(fields[1]))}" if len(fields) == 2 else "")
            )
        wall, user, system, rss, minor, major, voluntary, involuntary, status = map(int, fields)
        return Run(
            wall / 1e9,
            user / 1e6,
            system / 1e6,
            rss * 1024,
            minor,
            major,
            voluntary,
            involuntary,
            shell_status(os.waitstatus_to_exitcode(status)),
        )

    def _by_itself(self, allocator):
        start = time.monotonic()
        child = subprocess.Popen(
            self.program,
            env=allocator.environment(),
            stdin=self.input.rewound(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.guard.child = child
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - start
        self.guard.child = None
        child.returncode = os.waitstatus_to_exitcode(status)
        return Run(
            wall,
            usage.ru_utime,
            usage.ru_stime,
            usage.ru_maxrss * 1024,
            usage.ru_minflt,
            usage.ru_majflt,
            usage.ru_nvcsw,
            usage.ru_nivcsw,
            shell_status(child.returncode),
        )


def interleaved(allocators, rounds):
    """The order of the runs, as (round, allocator)."""
    for number in range(rounds):
        first = number % len(allocators)
        for allocator in allocators[first:] + allocators[:first]:
            yield number + 1, allocator
