# SPDX-License-Identifier: MIT
"""The command on tiny programs: their output and status, the report, failures, and signals."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

from hakmem_profile import allocators
from support import BUILD, FIXTURES, TESTS, built

REPORTS = ("report.html", "report.json", "report.md")


class Command(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if os.environ.get("SANITIZER_CFLAGS"):
            raise unittest.SkipTest("with a sanitizer the library does not replace malloc")
        cls.command = [sys.executable, built("profile", "hakmem-profile")]
        cls.environment = {**os.environ, "HAKMEM_LIBRARY": built("src", ".libs", "libhakmem.so.0")}

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="hakmem-profile-test.")
        self.out = os.path.join(self.folder, "out")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def run_it(self, *arguments, environment=None, **options):
        return subprocess.run([*self.command, "--out", self.out, *arguments], env=environment or self.environment,
                              capture_output=True, text=True, cwd=self.folder, timeout=300, check=False,
                              **options)  # fmt: skip

    def report(self):
        self.assertTrue(set(REPORTS) <= set(os.listdir(self.out)), os.listdir(self.out))
        with open(os.path.join(self.out, "report.json"), encoding="utf-8") as file:
            return json.load(file)

    def no_report(self):
        self.assertFalse(os.path.exists(self.out), "a report was written")

    # ---- what passes through ----

    def test_tiny(self):
        """a tiny program: its output once, its exit status, and all that this machine can measure"""
        # Of a program that ends before the next tick of its clock the kernel may say that it took no user time at all.
        counts = "i=0; while [ $i -lt 30000 ]; do i=$((i + 1)); done; "
        command = ["sh", "-c", counts + "echo out; echo err >&2; exit 3"]
        done = self.run_it("--runs", "2", "--against", "libc", "--", *command)
        self.assertEqual((done.returncode, done.stdout), (3, "out\n"), done.stderr)
        self.assertEqual(done.stderr.splitlines()[0], "err")
        self.assertNotIn("\x1b", done.stderr)
        doc = self.report()
        self.assertEqual([r["name"] for r in doc["comparison"]], ["libhakmem", "libc"])
        self.assertEqual([len(r["walls"]) for r in doc["comparison"]], [2, 2])
        self.assertEqual([r["statuses"] for r in doc["comparison"]], [[3], [3]])
        self.assertGreater(doc["comparison"][0]["peak_rss"], 200000)
        self.assertLess(doc["comparison"][1]["peak_rss"], 6 << 20)
        self.assertGreater(doc["sizes"]["allocations"], 5)
        self.assertFalse(doc["partial"])
        if shutil.which("valgrind"):
            self.assertTrue(any(c["value"] for c in doc["counters"]), doc["quality"])
            self.assertTrue(doc["budget"])
        if shutil.which("strace") and doc["system_calls"]:
            self.assertGreater(doc["system_calls"]["libc"]["calls"]["execve"], 0)

    def test_input(self):
        """every run gets the same standard input"""
        done = self.run_it("--runs", "3", "--simulate", "never", "sh", "-c", "wc -c | tee -a seen", input="12345")
        self.assertEqual((done.returncode, done.stdout.strip()), (0, "5"), done.stderr)
        with open(os.path.join(self.folder, "seen"), encoding="utf-8") as file:
            seen = file.read().split()
        self.assertGreaterEqual(len(seen), 4)
        self.assertEqual(set(seen), {"5"})

    def test_without_dashes(self):
        """the program begins at the first word that is not an option"""
        done = self.run_it("--runs", "1", "--simulate", "never", "sh", "-c", "exit 0")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_killed(self):
        """a program that dies of a signal: the status, and a note in the report"""
        done = self.run_it("--runs", "1", "--simulate", "never", "--", "sh", "-c", "kill -9 $$")
        self.assertEqual(done.returncode, 128 + 9, done.stderr)
        self.assertIn("137", " ".join(self.report()["quality"]))

    def test_static(self):
        """a statically linked program is measured as it is"""
        source, program = os.path.join(self.folder, "s.c"), os.path.join(self.folder, "s")
        with open(source, "w", encoding="utf-8") as file:
            file.write(
                "#include <stdlib.h>\n#ifdef OWN\nstatic char heap[100];\n"
                "void *malloc(size_t n) { return n < 100 ? heap : 0; }\nvoid free(void *p) { (void)p; }\n#endif\n"
                "int main(void) { free(malloc(10)); return 0; }\n"
            )
        compiler = os.environ.get("CC", "cc").split()
        if subprocess.run([*compiler, "-static", "-o", program, source], capture_output=True, check=False).returncode:
            self.skipTest("cannot link statically")
        done = self.run_it("--runs", "1", "--simulate", "never", program)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("it is linked statically", " ".join(self.report()["quality"]))
        self.assertIn(f"{program} keeps its own malloc and is measured as it is: it is linked", done.stderr)
        script = os.path.join(self.folder, "script")
        with open(script, "w", encoding="utf-8") as file:
            file.write(f"#! {program}\n")
        os.chmod(script, 0o755)
        done = self.run_it("--runs", "1", "--simulate", "never", script)
        self.assertIn(f"as it is: {program} runs it, and it is linked statically", done.stderr)
        self.assertIn("the earlier report in", done.stderr)
        self.assertTrue(os.path.exists(os.path.join(self.out, "report.old.html")))
        done = self.run_it("--against", "libc", program)
        self.assertEqual(done.returncode, 2)
        subprocess.run([*compiler, "-DOWN", "-fno-builtin", "-rdynamic", "-o", program, source], check=True)
        done = self.run_it("--against", "libc", program)
        self.assertIn("it has a malloc of its own", done.stderr)

    def test_why_not_preloaded(self):
        """programs that preloading does not change, by their files"""
        program = os.path.join(self.folder, "p")
        for data, why in ((b"\x7fELF\x01\x01", "it is a 32-bit program"), (b"", None), (b"#!", None),
                          (b"#! /none", None),
                          (b"\x7fELF\x02\x01" + bytes(58), "it is linked statically")):  # fmt: skip
            with open(program, "wb") as file:
                file.write(data)
            self.assertEqual(allocators.why_not_preloaded(program), why, data)
        with open(program, "w", encoding="ascii") as file:
            file.write("#!/usr/bin/env -S q x\n")
        os.chmod(program, 0o755)
        with open(os.path.join(self.folder, "q"), "wb") as file:
            file.write(b"\x7fELF\x01\x01")
        os.chmod(file.name, 0o755)
        with unittest.mock.patch.dict(os.environ, PATH=self.folder):
            self.assertEqual(allocators.why_not_preloaded(program), f"{file.name} runs it, and it is a 32-bit program")
        if os.getuid() == 0:
            shutil.copy("/bin/true", program)
            os.chown(program, 65534, 0)
            os.chmod(program, 0o4755)
            self.assertEqual(allocators.why_not_preloaded(program), "it is set-user-ID or set-group-ID")

    def test_without_tools(self):
        """without perf, valgrind and strace: what the runs and the counts say, and which packages to install"""
        tools = os.path.join(self.folder, "bin")
        os.mkdir(tools)
        os.symlink(shutil.which("sh"), os.path.join(tools, "sh"))
        done = self.run_it("--runs", "2", "sh", "-c", ":", environment={**self.environment, "PATH": tools})
        self.assertEqual(done.returncode, 0, done.stderr)
        notes = " ".join(self.report()["quality"])
        for words in ("linux-perf", "valgrind", "strace"):
            self.assertIn(words, notes)

    def test_with_counters(self):
        """where perf has counters they are used, and nothing is simulated"""
        tools = os.path.join(self.folder, "bin")
        os.mkdir(tools)
        with open(os.path.join(tools, "perf"), "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\nexec {sys.executable} {TESTS}/fake_perf.py "$@"\n')
        os.chmod(file.name, 0o755)
        path = tools + os.pathsep + os.environ["PATH"]
        done = self.run_it("--runs", "2", "--ops", "200000000", "--against", "libc", "sh", "-c", ":",
                           environment={**self.environment, "PATH": path})  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        doc = self.report()
        self.assertEqual((doc["simulated"], doc["tools"]["perf"]), ([], "6.8.12"))
        columns = [(c["key"], c["label"], c["simulated"]) for c in doc["functions"]["columns"]]
        self.assertEqual(columns, [("time", "time (cycles:P)", False), ("misses", "cache-misses", False)])
        self.assertEqual(doc["functions"]["rows"][5]["name"], "unified_cache_push")
        self.assertEqual([r["instructions"] for r in doc["comparison"]], [38458485670] * 2)
        self.assertAlmostEqual(doc["comparison"][1]["allocator_share"], 0.7817)
        counters = {c["name"]: c for c in doc["counters"]}
        self.assertEqual(counters["instructions"]["value"], 38458485670)
        self.assertEqual(counters["LLC-loads"]["status"], "not supported")
        self.assertIn("12 counters shared", " ".join(doc["quality"]))
        states = {c["case"]: c["state"] for c in doc["cases"]}
        self.assertEqual(states["mispredictions"], "holds")

    # ---- how it fails ----

    def test_cannot_run(self):
        """no such program, no executable one, none at all"""
        for program, status in (("./nothing", 127), ("nothing-of-this-name", 127), ("/etc/passwd", 126), ("/etc", 126)):
            done = self.run_it("--", program)
            self.assertEqual(done.returncode, status, program)
            self.assertIn(program, done.stderr)
        self.assertEqual(self.run_it().returncode, 2)
        self.no_report()

    def test_wrong_usage(self):
        """allocators that are not there, impossible numbers, options that do not go together"""
        for arguments, words in (
            (["--against", "nomalloc", "--", "sh"], "unknown allocator 'nomalloc': give libc"),
            (["--against", "jmalloc", "--", "sh"], "unknown allocator 'jmalloc': did you mean jemalloc?"),
            (["--against", "libc,mimallco", "--", "sh"], "'mimallco': did you mean mimalloc?"),
            (["--against", "tc", "--", "sh"], "'tc': did you mean tcmalloc?"),
            (["--against", "lbic", "--", "sh"], "'lbic': did you mean libc?"),
            (["--against", "/nowhere/lib.so", "--", "sh"], "/nowhere/lib.so"),
            (["--runs", "0", "--", "sh"], "--runs"),
            (["--runs", "x", "--", "sh"], "--runs"),
            (["--ops", "-3", "--", "sh"], "--ops"),
            (["--report", "x"], "--replay"),
            (["--replay", "x", "--", "sh"], "--replay"),
            (["--nonsense"], "--nonsense"),
        ):
            done = self.run_it(*arguments)
            self.assertEqual(done.returncode, 2, (arguments, done.stderr))
            self.assertIn(words, done.stderr)
            self.assertNotIn("Traceback", done.stderr)
        self.no_report()

    def test_missing_library(self):
        """HAKMEM_LIBRARY that is not there"""
        done = self.run_it("sh", environment={**self.environment, "HAKMEM_LIBRARY": "/nowhere/libhakmem.so.0"})
        self.assertEqual(done.returncode, 2)
        self.assertIn("HAKMEM_LIBRARY", done.stderr)
        self.no_report()

    def test_help(self):
        """--help and --version"""
        self.assertIn("--against", self.run_it("--help").stdout)
        self.assertRegex(self.run_it("--version").stdout, r"^hakmem profile [0-9.]+\n$")

    # ---- replay ----

    def test_replay(self):
        """the seed's figures from files"""
        done = self.run_it("--replay", os.path.join(FIXTURES, "seed-perf-stat.txt"), "--ops", "200000000", "--report",
                           os.path.join(FIXTURES, "seed-perf-report.txt"))  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("instruction bound, also branch-misprediction bound", done.stdout)
        self.assertEqual(self.report()["verdict"]["case"], "instructions")

    def test_replay_callgrind(self):
        """a file of callgrind, where there are no times"""
        done = self.run_it("--replay", os.path.join(FIXTURES, "callgrind.out.txt"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([r["name"] for r in self.report()["functions"]["rows"]], ["main", "malloc", "free"])

    def test_replay_broken(self):
        """broken files: one line that names file and line, status 1, no report"""
        with open(os.path.join(FIXTURES, "seed-perf-stat.txt"), encoding="utf-8") as file:
            stat = file.readlines()
        broken = os.path.join(self.folder, "broken.txt")
        for text, line in (("".join(stat[:9]), 9), ("".join(stat).replace("9,514,440,349 ", "9,5x4 "), 6), ("", 1)):
            with open(broken, "w", encoding="utf-8") as file:
                file.write(text)
            done = self.run_it("--replay", broken)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            self.assertIn(f"broken.txt:{line}: ", done.stderr)
        done = self.run_it("--replay", os.path.join(FIXTURES, "seed-perf-stat.txt"), "--report", broken)
        self.assertIn("broken.txt:1: ", done.stderr)
        with open(broken, "wb") as file:
            file.write(b"PERFILE2\0\0\1")
        self.assertIn("binary", self.run_it("--replay", broken).stderr)
        self.no_report()

    # ---- how it is stopped ----

    def interrupt(self, number, start):
        with open(os.path.join(self.folder, "stderr"), "w+", encoding="utf-8") as errors:
            child = subprocess.Popen([*self.command, "--out", self.out, "--simulate", "never", "--", "sh", "-c",
                                      "echo x >>started; exec sleep 2"], env=self.environment, cwd=self.folder,
                                     stderr=errors, stdin=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
            for _ in range(600):
                if os.path.exists(os.path.join(self.folder, "started")) and start():
                    break
                time.sleep(0.05)
            child.send_signal(number)
            status = child.wait(60)
            errors.seek(0)
            return status, errors.read()

    def started(self, times):
        with open(os.path.join(self.folder, "started"), encoding="utf-8") as file:
            return len(file.readlines()) >= times

    def test_interrupted(self):
        """SIGINT in a timed run: status 130, and a report of what there is"""
        status, errors = self.interrupt(signal.SIGINT, lambda: self.started(3))
        self.assertEqual(status, 130, errors)
        self.assertNotIn("Traceback", errors)
        doc = self.report()
        self.assertTrue(doc["partial"])
        self.assertEqual([len(r["walls"]) for r in doc["comparison"]], [1])

    def test_terminated(self):
        """SIGTERM in the first run reaches the program too"""
        begin = time.monotonic()
        status, errors = self.interrupt(signal.SIGTERM, lambda: self.started(1))
        self.assertEqual(status, 143, errors)
        self.assertTrue(self.report()["partial"])
        self.assertEqual(self.report()["comparison"], [])
        self.assertLess(time.monotonic() - begin, 30)

    def test_hung_up(self):
        """SIGHUP, as a terminal sends it when it is closed"""
        status, errors = self.interrupt(signal.SIGHUP, lambda: self.started(2))
        self.assertEqual(status, 129, errors)
        self.assertTrue(self.report()["partial"])

    def test_interrupted_before_it_begins(self):
        """SIGINT while standard input is read, before the first run: the process ends without a report"""
        child = subprocess.Popen([*self.command, "--out", self.out, "--", "true"], env=self.environment,
                                 cwd=self.folder, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
        for _ in range(600):
            if os.path.exists(os.path.join(self.out, "raw")):
                break
            time.sleep(0.05)
        time.sleep(0.5)
        child.send_signal(signal.SIGINT)
        status = child.wait(30)
        errors = child.stderr.read()
        child.stdin.close()
        child.stderr.close()
        self.assertEqual(status, -signal.SIGINT, errors)
        self.assertEqual(errors, "")

    def test_terminal(self):
        """a terminal shows the current step, which is removed before the program writes"""
        master, slave = pty.openpty()
        child = subprocess.Popen([*self.command, "--out", self.out, "--simulate", "never", "--runs", "1", "--", "sh",
                                  "-c", "echo shown"], env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL,
                                 stdout=slave, stderr=slave)  # fmt: skip
        os.close(slave)
        seen = b""
        while True:
            try:
                block = os.read(master, 4096)
            except OSError:
                break
            if not block:
                break
            seen += block
        os.close(master)
        self.assertEqual(child.wait(60), 0)
        text = seen.decode()
        self.assertIn("run 1 of 1 under libhakmem", text)
        self.assertIn("\x1b[Kshown", text)


class Uninstalled(unittest.TestCase):
    def test_through_hakmem(self):
        """`hakmem profile` of the build folder starts the command"""
        command = built("tools", "hakmem-uninstalled")
        done = subprocess.run([command, "profile", "--version"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr + BUILD)
        self.assertIn("hakmem profile", done.stdout)
