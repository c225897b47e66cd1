# SPDX-License-Identifier: MIT
"""callgrind, cachegrind, strace and the counting library: whole files and broken ones; numbers for people."""

from hakmem_profile import callgrind, counting, figures, strace
from support import InputErrors, fixture


class Callgrind(InputErrors):
    def test_callgrind(self):
        """compressed names, relative positions, zeros left out, calls not counted twice"""
        costs = callgrind.parse(fixture("callgrind.out.txt"), "x")
        self.assertEqual(costs.total, [1210, 300, 150, 4, 20, 10, 2, 3, 4, 100, 9, 10, 1])
        by_name = {name: own[0] for (_, name), own in costs.functions.items()}
        self.assertEqual(by_name, {"malloc": 700, "free": 200, "main": 310})
        self.assertIn(("/usr/lib/libhakmem.so.0.0.0", "malloc"), costs.functions)
        self.assertEqual(costs.sum("Bcm", "Bim"), 10)
        self.assertIsNone(costs.get("Nothing"))
        self.assertEqual(costs.command, "./bench 1000")

    def test_cachegrind(self):
        """cachegrind's file, which has no calls"""
        costs = callgrind.parse(fixture("cachegrind.out.txt"), "x")
        self.assertEqual(costs.get("Ir"), 1010)
        self.assertEqual(costs.functions[None, "main"][0], 310)
        self.assertIsNone(costs.sum("Bcm", "Bim"))

    def test_two_processes(self):
        """costs of several processes add up"""
        costs = callgrind.parse(fixture("callgrind.out.txt"), "x")
        costs.add(callgrind.parse(fixture("callgrind.out.txt"), "x"))
        self.assertEqual(costs.get("Ir"), 2420)
        self.assertEqual(costs.functions["/tmp/bench", "main"][0], 620)

    def test_truncated(self):
        """cut off after any line but the last"""
        for name in ("callgrind.out.txt", "cachegrind.out.txt"):
            lines = fixture(name).splitlines(keepends=True)
            for cut in range(1, len(lines)):
                with self.subTest(name, lines=cut):
                    with self.assertRaises(callgrind.InputError):
                        callgrind.parse("".join(lines[:cut]), "x")

    def test_broken(self):
        """foreign lines, costs that are no numbers, totals that are not the sum"""
        text = fixture("callgrind.out.txt")
        self.refused(callgrind.parse, text.replace("+2 100 20", "+2 100 2x0"), 20, "not a cost line")
        self.refused(callgrind.parse, text.replace("+2 100 20", "hello"), 20, "not a line of callgrind")
        self.refused(callgrind.parse, text.replace("totals: 1210", "totals: 9999"), 45, "a part is missing")
        self.refused(callgrind.parse, "hello=\n", 1, "not a line")


class Strace(InputErrors):
    def test_versions(self):
        """strace 4.26 with messages before the table, and 6.1"""
        old = strace.parse(fixture("strace-4.26.txt"), "x")
        self.assertEqual(old, {"total": 2199, "calls": {"futex": 999, "madvise": 1200}, "errors": {"futex": 12}})
        new = strace.parse(fixture("strace-6.1.txt"), "x")
        self.assertEqual(new["total"], 1154)
        self.assertEqual(sum(new["calls"].values()), 1154)
        self.assertEqual((new["calls"]["brk"], new["errors"]["openat"]), (908, 13))

    def test_commonest(self):
        """calls that are equally frequent always come in one order, so that reports of one measurement are alike"""
        table = strace.parse(fixture("strace-6.1.txt"), "x")
        backwards = {"calls": dict(reversed(table["calls"].items()))}
        names = strace.commonest({"libc": table, "other": backwards}, 99)
        self.assertEqual(names, sorted(table["calls"], key=lambda call: (-table["calls"][call], call)))

    def test_broken(self):
        """no table, a foreign row, a wrong total, none"""
        text = fixture("strace-6.1.txt")
        self.refused(strace.parse, "hello\n", 1, "header is missing")
        self.refused(strace.parse, text.replace("     brk", "brk      !"), 3, "not a row")
        self.refused(strace.parse, text.replace("      908 ", "      907 "), 32, "add up to 1153")
        lines = text.splitlines(keepends=True)
        self.refused(strace.parse, "".join(lines[:-1]), len(lines) - 1, "truncated")


class Counting(InputErrors):
    def test_sums(self):
        """lines of three programs in two processes"""
        total = counting.parse(fixture("counts.txt"), "x")
        self.assertEqual((total["allocations"], total["frees"], total["reallocs"]), (14, 11, 1))
        self.assertEqual((total["processes"], total["programs"]), (2, {"sh": 6, "ls": 20}))
        self.assertEqual(total["by_size"], {16: 1, 32: 13, 4096: 1})
        self.assertIsNone(counting.parse("", "x"))

    def test_broken(self):
        """a line cut off"""
        lines = fixture("counts.txt").splitlines()
        self.refused(counting.parse, lines[0] + "\n" + lines[1][:80], 2, "not a line of libhakmem-count")


class Figures(InputErrors):
    def test_reading(self):
        """numbers of several locales"""
        for text in ("1,234,567", "1.234.567", "1 234 567", "1'234'567", "1\u202f234\u202f567", "12,34,567"):
            self.assertEqual(figures.integer(text), 1234567)
        self.assertEqual(figures.decimal("4,219.21"), 4219.21)
        self.assertEqual(figures.decimal("4.219,21"), 4219.21)
        self.assertEqual(figures.decimal("0,48"), 0.48)

    def test_writing(self):
        """numbers for people"""
        self.assertEqual(
            [figures.significant(v) for v in (0, 1.13345, 192.29, 16523264313, 0.0087, 0.19, 0.0004)],
            ["0", "1.13", "192", "16,523,264,313", "0.0087", "0.19", "4.0e-04"],
        )
        self.assertEqual(
            [figures.seconds(v) for v in (0, 2e-9, 0.0000021, 0.135, 4.2194, 75)],
            ["0 s", "2.00 ns", "2.10 µs", "135 ms", "4.22 s", "75.0 s"],
        )
        self.assertEqual(
            [figures.size(v) for v in (16, 1024, 1536, 5 << 20, 3 << 30)],
            ["16 B", "1 KiB", "1.5 KiB", "5 MiB", "3 GiB"],
        )
        self.assertEqual(figures.percent(0.0097, 2), "0.97 %")

    def test_spread(self):
        """half the range; of five runs the largest and the smallest are left out"""
        self.assertEqual(figures.spread([1.0]), None)
        self.assertAlmostEqual(figures.spread([0.9, 1.0, 1.1]), 0.1)
        self.assertAlmostEqual(figures.spread([0.5, 0.98, 1.0, 1.02, 9.0]), 0.02)
