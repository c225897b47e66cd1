# SPDX-License-Identifier: MIT
"""Allocators by the names of the command line: the library to preload for each."""

import mmap
import os
import re
import shutil
import stat
import subprocess

from .errors import UsageError

# Allocators that are known by name, and the libraries that distributions ship for them, newest first.
KNOWN = {
    "jemalloc": ("libjemalloc.so.2",),
    "mimalloc": ("libmimalloc.so.3", "libmimalloc.so.2"),
    "tcmalloc": ("libtcmalloc_minimal.so.4", "libtcmalloc.so.4"),
    "snmalloc": ("libsnmallocshim.so",),
    "rpmalloc": ("librpmalloc.so",),
}


class Allocator:
    """`preload` is a list of what LD_PRELOAD must name; empty for the C library, or a static program."""

    def __init__(self, name, preload):
        self.name = name
        self.preload = preload

    def environment(self, before=()):
        """A copy of the environment, with the libraries `before` and then the allocator preloaded."""
        environment = dict(os.environ)
        value = self.preload_value(before)
        environment.pop("LD_PRELOAD", None)
        if value:
            environment["LD_PRELOAD"] = value
        return environment

    def preload_value(self, before=()):
        return " ".join([*before, *self.preload, *re.split("[: ]+", os.environ.get("LD_PRELOAD", ""))]).strip()


def loads(library):
    """Whether the dynamic loader can preload this library; if not, the loader writes to standard error."""
    environment = {**os.environ, "LD_PRELOAD": library}
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", ":"],
            env=environment,
            capture_output=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and not done.stderr


def own(soname, libdir):
    """libhakmem itself, found as `hakmem run` finds it; None if it is not there."""
    given = os.environ.get("HAKMEM_LIBRARY")
    for candidate in [given] if given else [soname, os.path.join(libdir, soname)]:
        _check_path(candidate)
        if loads(candidate):
            return Allocator("libhakmem", [candidate])
    if given:
        raise UsageError(f"the dynamic loader cannot preload HAKMEM_LIBRARY={given}")
    return None


def _check_path(path):
    if re.search("[: ]", path):
        raise UsageError(f"cannot preload '{path}': LD_PRELOAD separates by colons and spaces")


def _name_of(path):
    name = re.sub(r"\.so(\..*)?$", "", os.path.basename(path))
    return re.sub("^lib", "", name) or path


def find(text):
    """The allocators of a list like "libc,jemalloc,fast=/opt/libfast.so"; "all" is the C library and all known."""
    found = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, equals, path = item.partition("=")
        if item == "all":
            found.append(Allocator("libc", []))
            for known in KNOWN:
                library = _known(known)
                if library:
                    found.append(Allocator(known, [library]))
        elif item in ("libc", "glibc"):
            found.append(Allocator("libc", []))
        elif item in KNOWN:
            library = _known(item)
            if not library:
                raise UsageError(f"{item} is not installed: the dynamic loader finds none of {', '.join(KNOWN[item])}")
            found.append(Allocator(item, [library]))
        elif "/" in item or ".so" in item:
            path = path if equals else item
            name = name if equals else _name_of(path)
            path = os.path.abspath(path) if "/" in path else path
            _check_path(path)
            if "/" in path and not os.access(path, os.R_OK):
                raise UsageError(f"cannot read {path}")
            if not loads(path):
                raise UsageError(f"the dynamic loader cannot preload {path}")
            found.append(Allocator(name, [path]))
        else:
            near = next((known for known in ("libc", "all", *KNOWN) if _nearly(item, known)), None)
            raise UsageError(
                f"unknown allocator '{item}': "
                + (f"did you mean {near}?" if near else f"give libc, all, {', '.join(KNOWN)}, PATH.so or NAME=PATH.so")
            )
    return _distinct(found)


def _nearly(word, name):
    """Whether `word` is a beginning of `name`, or one mistake away: a character too many, missing or wrong, or two
    neighbours that have changed places.

    Two mistakes are too many, as most names end in "malloc" and are two mistakes away from one another.
    """
    if len(word) > 1 and name.startswith(word):
        return True
    longer, shorter = sorted((word, name), key=len, reverse=True)
    same = len(os.path.commonprefix((word, name)))
    if len(longer) == len(shorter):
        rest = word[same:], name[same:]
        return rest[0][1:] == rest[1][1:] or (rest[0][:2] == rest[1][1::-1] and rest[0][2:] == rest[1][2:])
    return longer[same + 1 :] == shorter[same:]


def _known(name):
    return next((library for library in KNOWN[name] if loads(library)), None)


def _distinct(found):
    seen = {}
    result = []
    for allocator in found:
        if any(a.preload == allocator.preload for a in result):
            continue
        seen[allocator.name] = seen.get(allocator.name, 0) + 1
        if seen[allocator.name] > 1:
            allocator.name += f"-{seen[allocator.name]}"
        result.append(allocator)
    return result


def _run_by(script):
    """The interpreter in a script's first line; for env, the program that env starts.  None if it is no script."""
    with open(script, "rb") as file:
        line = file.readline(1000)
    if not line.startswith(b"#!"):
        return None
    words = os.fsdecode(line[2:]).split()
    if words and os.path.basename(words[0]) == "env":
        found = next((w for w in words[1:] if not w.startswith("-") and "=" not in w), None)
        return shutil.which(found) if found else words[0]
    return words[0] if words else None


def why_not_preloaded(program):
    """Why preloading does not change this program's allocator; None if it does, or if that is not known.

    For a script the answer is that for its interpreter.
    """
    try:
        by = program
        for _ in range(4):
            following = _run_by(by)
            if following is None:
                break
            by = following
        why = _why_not_elf(by)
    except (OSError, ValueError, IndexError):
        return None
    return why if why is None or by == program else f"{by} runs it, and {why}"


def _changes_rights(status):
    """Whether a program of this status is set-user-ID or set-group-ID to somebody else than the caller."""
    return (status.st_mode & stat.S_ISUID and status.st_uid != os.getuid()) or (
        status.st_mode & stat.S_ISGID and status.st_gid != os.getgid()
    )


def _why_not_elf(program):
    """The reason in an ELF file: no dynamic loader, rights of somebody else, or a malloc of its own."""
    with open(program, "rb") as file:
        status = os.fstat(file.fileno())
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    # The dynamic loader as a program has no loader, but obeys LD_PRELOAD.
    if data[:4] != b"\x7fELF" or re.match(r"ld(-.*|64)?\.so", os.path.basename(program)):
        return None
    if data[4] == 1:
        return "it is a 32-bit program"
    order = "little" if data[5] == 1 else "big"

    def number(position, length):
        return int.from_bytes(data[position : position + length], order)

    segments, size, count = number(32, 8), number(54, 2), number(56, 2)
    interpreter = 3
    if all(number(segments + n * size, 4) != interpreter for n in range(count)):
        return "it is linked statically"
    if _changes_rights(status):
        return "it is set-user-ID or set-group-ID"
    sections, size, count = number(40, 8), number(58, 2), number(60, 2)
    for header in (sections + n * size for n in range(count)):
        dynamic_symbols = 11
        if number(header + 4, 4) == dynamic_symbols:
            names = number(sections + number(header + 40, 4) * size + 24, 8)
            start, length = number(header + 24, 8), number(header + 32, 8)
            for symbol in range(start, start + length, 24):
                position = names + number(symbol, 4)
                if number(symbol + 6, 2) and data[position : position + 7] == b"malloc\0":
                    return "it has a malloc of its own"
    return None
