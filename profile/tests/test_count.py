# SPDX-License-Identifier: MIT
"""libhakmem-count.so counts exactly, under all allocators and all ways in which a process ends."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest

from hakmem_profile import allocators
from support import TESTS, built


class Count(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if os.environ.get("SANITIZER_CFLAGS"):
            raise unittest.SkipTest("a sanitizer has malloc to itself")
        cls.library = built("tools", "count", ".libs", "libhakmem-count.so")
        cls.folder = tempfile.mkdtemp(prefix="hakmem-count-test.")
        cls.program = cls.compiled("CC", "cc", "calls.c", ["-pthread"])
        cls.allocators = {"libc": "", "libhakmem": built("src", ".libs", "libhakmem.so.0")}
        for name, libraries in allocators.KNOWN.items():
            found = next((library for library in libraries if allocators.loads(library)), None)
            if found:
                cls.allocators[name] = found

    @classmethod
    def compiled(cls, variable, default, source, flags):
        compiler = os.environ.get(variable, default).split()
        output = os.path.join(cls.folder, source + ".out")
        command = [*compiler, "-O1", "-fno-builtin", *flags, "-o", output, os.path.join(TESTS, source)]
        if subprocess.run(command, check=False).returncode:
            raise unittest.SkipTest(f"{source} does not compile")
        return output

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    def count(self, command, allocator="", status=0, out=None):
        """The lines that the command leaves."""
        out = out or os.path.join(self.folder, "counts")
        if os.path.exists(os.path.join(self.folder, out)):
            os.unlink(os.path.join(self.folder, out))
        environment = {**os.environ, "HAKMEM_COUNT_OUT": out, "LD_PRELOAD": f"{self.library} {allocator}".strip()}
        done = subprocess.run(command, env=environment, cwd=self.folder, check=False, timeout=60, capture_output=True)
        self.assertEqual(done.returncode, status, done.stderr)
        with open(os.path.join(self.folder, out), encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        for line in lines:
            self.assertEqual(sum(s["count"] for s in line["by_size"]), line["allocations"] + line["reallocs"])
        return lines

    def size(self, line, upto):
        return next((s["count"] for s in line["by_size"] if s["upto"] == upto), 0)

    def test_family(self):
        """every function of the family, under every allocator that is installed"""
        for name, library in self.allocators.items():
            with self.subTest(name):
                (base,) = self.count([self.program, "nothing"], library)
                (line,) = self.count([self.program, "family"], library)
                got = {key: line[key] - base[key] for key in line if isinstance(line[key], int) and key != "pid"}
                self.assertEqual(got, {
                    "allocations": 1000 + 100 + 10 + 1 + 1, "frees": 1000 + 100 + 10 + 1 + 1, "reallocs": 1,
                    "callocs": 100, "aligned": 10, "failed": 1,
                    "bytes": 100 * 1000 + 100 * 2000 + 10 * 5000 + 8 + 200000 + 300,
                })  # fmt: skip
                self.assertEqual(self.size(line, 112) - self.size(base, 112), 1000)
                self.assertEqual(self.size(line, 2048) - self.size(base, 2048), 100)
                self.assertEqual(self.size(line, 5120) - self.size(base, 5120), 10)
                self.assertEqual(self.size(line, 262144) - self.size(base, 262144), 1)

    def test_realloc_to_nothing(self):
        """where realloc to 0 bytes frees, as in the C library, it counts as a free"""
        for allocator in ("", self.allocators["libhakmem"]):
            (base,) = self.count([self.program, "nothing"], allocator)
            (line,) = self.count([self.program, "realloc 0"], allocator)
            got = [line[key] - base[key] for key in ("allocations", "reallocs", "frees", "bytes")]
            self.assertEqual(got, [1, 0, 1, 8])

    def test_threads(self):
        """eight threads lose no count"""
        (base,) = self.count([self.program, "nothing"])
        (line,) = self.count([self.program, "threads"])
        self.assertEqual(self.size(line, 48) - self.size(base, 48), 80000)
        self.assertGreaterEqual(line["frees"] - base["frees"], 80000)

    def test_operators(self):
        """C++ operators count once, whether they reach malloc or not; bad_alloc passes through"""
        program = self.compiled("CXX", "c++", "operators.cc", ["-std=c++17"])
        for name, library in self.allocators.items():
            if name == "mimalloc":
                continue  # Debian's aborts when operator new fails
            with self.subTest(name):
                (line,) = self.count([program], library)
                self.assertGreaterEqual(line["allocations"], 4000)
                self.assertLess(line["allocations"], 4050)
                self.assertGreaterEqual(line["frees"], 4000)
                self.assertLess(line["frees"], 4050)
                self.assertEqual(self.size(line, 640), 1000)
                self.assertEqual(line["aligned"], 1000)

    def test_exits(self):
        """_exit and quick_exit write the line, once"""
        (base,) = self.count([self.program, "nothing"])
        for way in ("_exit", "quick_exit"):
            (line,) = self.count([self.program, way])
            self.assertEqual(line["allocations"] - base["allocations"], 77, way)

    def test_fork(self):
        """a child counts its own calls only"""
        lines = self.count([self.program, "fork"])
        self.assertEqual([self.size(line, 32) // 10 for line in lines], [30, 55])
        self.assertNotEqual(lines[0]["pid"], lines[1]["pid"])

    def test_vfork(self):
        """a child of vfork takes nothing from its parent"""
        (line,) = self.count([self.program, "vfork"])
        self.assertEqual(self.size(line, 32) // 10, 55)

    def test_exec(self):
        """exec writes what was counted; one that fails loses nothing"""
        lines = self.count([self.program, "exec"])
        self.assertEqual([self.size(line, 32) // 10 for line in lines], [50, 6, 0])
        self.assertEqual(len({line["pid"] for line in lines}), 1)

    def test_relative(self):
        """a relative name is that of the directory in which the program began"""
        (line,) = self.count([self.program, "chdir"], out="relative")
        self.assertGreaterEqual(line["allocations"], 5)

    def test_real(self):
        """python3 and a program that it starts: complete lines, with the names of the programs"""
        lines = self.count(["python3", "-c", "import subprocess; subprocess.run(['true'])"], status=0)
        names = [line["program"] for line in lines]
        self.assertIn("true", names)
        self.assertTrue(any(line["allocations"] > 1000 for line in lines), names)

    def test_silent(self):
        """without HAKMEM_COUNT_OUT nothing is written, and the program runs as without the library"""
        environment = {**os.environ, "LD_PRELOAD": self.library}
        environment.pop("HAKMEM_COUNT_OUT", None)
        done = subprocess.run([self.program, "family"], env=environment, capture_output=True, check=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))
