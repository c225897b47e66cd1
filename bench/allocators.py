# SPDX-License-Identifier: MIT
"""Finds the allocators to compare, and makes sure that each can be preloaded at all."""

import dataclasses
import os
import re
import subprocess
import sysconfig

SUBJECT = "hakmem"

# The names by which distributions install the best-known ones.
INSTALLED = {
    "mimalloc": ["libmimalloc.so.3", "libmimalloc.so.2", "libmimalloc.so"],
    "jemalloc": ["libjemalloc.so.2", "libjemalloc.so"],
    "tcmalloc": ["libtcmalloc_minimal.so.4", "libtcmalloc_minimal.so"],
}


# Settings of allocators, and of programs that have an allocator of their own.
NOT_PASSED_ON = re.compile("LD_PRELOAD|BENCH_|HAKMEM|MALLOC|JE_MALLOC|_RJEM|MIMALLOC|TCMALLOC|SNMALLOC|GLIBC_TUNABLES|"
                           "PYTHON|RUBY")


class Unusable(Exception):
    """An allocator that cannot be used; the text says why."""


@dataclasses.dataclass(frozen=True)
class Allocator:
    name: str
    path: str


def library_folders():
    multiarch = sysconfig.get_config_var("MULTIARCH")
    folders = [f"/usr/lib/{multiarch}", f"/lib/{multiarch}"] if multiarch else []
    # A Python built from source may not know the distribution's folder.
    folders += [f"/usr/lib/{os.uname().machine}-linux-gnu", "/usr/lib64", "/lib64", "/usr/lib", "/lib",
                "/usr/local/lib"]
    return folders


def find_library(names):
    for name in names:
        for folder in library_folders():
            path = os.path.join(folder, name)
            if os.path.exists(path):
                return path
    return None


def clean_environment():
    """The caller's environment without what would make one allocator's run differ from another's."""
    environment = {name: value for name, value in os.environ.items() if not NOT_PASSED_ON.match(name)}
    environment["LC_ALL"] = "C"
    return environment


def probe(allocator):
    """Runs a program that does nothing under the allocator; the loader only warns when it cannot preload."""
    environment = dict(clean_environment(), LD_PRELOAD=allocator.path)
    try:
        done = subprocess.run(["/bin/sh", "-c", "exit 0"], env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unusable(f"{allocator.name}: {error}") from error
    message = done.stderr.decode(errors="replace").strip()
    if "ld.so" in message:
        raise Unusable(f"{allocator.name}: {message.splitlines()[0]}")
    if done.returncode != 0:
        raise Unusable(f"{allocator.name}: a shell under {allocator.path} ends with status {done.returncode}")


def parse_named(text):
    name, separator, path = text.partition("=")
    if not separator or not name or not path:
        raise Unusable(f"--with wants NAME=PATH, not \"{text}\"")
    if not re.fullmatch(r"[\w.+-]+", name):
        raise Unusable(f"--with {text}: a name is of letters, digits, and _ . + -")
    if not os.path.isfile(path):
        raise Unusable(f"--with {text}: there is no file {path}")
    return Allocator(name, os.path.abspath(path))


def find_all(build, named):
    """All allocators in the order of the tables, and a list of remarks on those left out."""
    found, remarks = {}, []
    # A program may be linked with an allocator of its own (Debian's redis-server is); libc preloaded goes before it.
    libc = find_library(["libc.so.6"])
    candidates = [("glibc", libc)] if libc else []
    candidates.append((SUBJECT, os.path.join(build, "src", ".libs", "libhakmem.so")))
    candidates += [(name, find_library(files)) for name, files in INSTALLED.items()]
    for name, path in candidates:
        if path is None or not os.path.exists(path):
            remarks.append(f"{name} is not there" + (f" ({path})" if path else " (not installed)"))
            continue
        allocator = Allocator(name, os.path.realpath(path))
        try:
            probe(allocator)
        except Unusable as error:
            remarks.append(f"left out: {error}")
            continue
        found[name] = allocator
    for text in named:
        allocator = parse_named(text)
        probe(allocator)
        found[allocator.name] = allocator
    order = [SUBJECT] if SUBJECT in found else []
    order += [name for name in found if name != SUBJECT]
    return [found[name] for name in order], remarks
