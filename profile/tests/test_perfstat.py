# SPDX-License-Identifier: MIT
"""perf stat as several versions print it, in several locales; and text that is broken."""

from hakmem_profile.perfstat import base_name, parse, user_only
from support import InputErrors, fixture


class PerfStat(InputErrors):
    def counts(self, stat, **expected):
        for name, value in expected.items():
            self.assertEqual(stat.value(name.replace("_", "-")), value, name)

    def test_version_3(self):
        """perf 3.16: units behind the event, percentages in brackets, metrics on lines of their own"""
        stat = parse(fixture("stat-3.16.txt"), "x")
        self.counts(
            stat,
            cycles=2345678901,
            instructions=3456789012,
            branch_misses=12345678,
            context_switches=12,
            task_clock=812.345678,
        )
        self.assertEqual(stat.events["cycles"]["running"], 83.21)
        self.assertEqual(stat.elapsed, 0.814012345)
        self.assertIsNone(stat.user)
        self.assertEqual(stat.command, "./server --port 80")
        self.assertEqual(stat.program_output, ["program says hello", "1..3 not a counter", ""])

    def test_version_6_1(self):
        """perf 6.1: user space only, not counted, not supported, advice after the figures"""
        stat = parse(fixture("stat-6.1-user.txt"), "x")
        self.counts(stat, cycles=1000000000, instructions=1500000000, branch_misses=10000000)
        self.assertEqual(stat.events["L1-dcache-loads"]["status"], "not counted")
        self.assertEqual(stat.events["L1-dcache-load-misses"]["status"], "not supported")
        self.assertIsNone(stat.value("L1-dcache-loads"))
        self.assertEqual(stat.lowest_running(), 12.40)
        self.assertTrue(stat.events["cycles"]["user_only"])
        self.assertEqual((stat.elapsed, stat.user, stat.sys), (0.32258, 0.32, 0.002))

    def test_version_6_8_hybrid(self):
        """perf 6.8 -r on a hybrid processor: both kinds of cores are added, top-down lines passed over"""
        stat = parse(fixture("stat-6.8-hybrid.txt"), "x")
        self.counts(stat, cycles=5000000000, instructions=9200000000, task_clock=1002.41)
        self.assertEqual(stat.runs, 5)
        self.assertEqual(stat.events["task-clock"]["spread"], 0.25)
        self.assertEqual(stat.elapsed, 1.0034)

    def test_locales(self):
        """German, French, Czech, Swiss and Indian separators all read the same"""
        for locale in ("de_DE", "fr_FR", "cs_CZ", "de_CH", "en_IN"):
            with self.subTest(locale):
                stat = parse(fixture(f"stat-{locale}.txt"), locale)
                self.counts(
                    stat, cycles=16523264313, instructions=38458485670, branch_misses=226703353, task_clock=4219.21
                )
                self.assertEqual(stat.events["cycles"]["running"], 41.60)
                self.assertEqual((stat.elapsed, stat.user, stat.sys), (4.21942558, 4.202193, 0.017))

    def test_csv(self):
        """-x, with events that were not counted"""
        stat = parse(fixture("stat-csv.txt"), "x")
        self.counts(stat, cycles=16523264313, instructions=38458485670, branch_misses=226703353, task_clock=4219.21)
        self.assertEqual(stat.events["LLC-loads"]["status"], "not supported")
        self.assertEqual(stat.events["L1-dcache-loads"]["status"], "not counted")
        self.assertEqual(stat.lowest_running(), 41.60)

    def test_csv_repeated(self):
        """-x; -r with decimal commas and the spread in between"""
        stat = parse(fixture("stat-csv-r.txt"), "x")
        self.counts(stat, cycles=1000000, instructions=2000000, task_clock=0.48)
        self.assertEqual(stat.events["cycles"]["spread"], 0.13)

    def test_json(self):
        """-j"""
        stat = parse(fixture("stat-json.txt"), "x")
        self.counts(stat, cycles=16523264313, instructions=38458485670)
        self.assertEqual(stat.events["instructions"]["running"], 41.63)
        self.assertEqual(stat.events["LLC-loads"]["status"], "not supported")

    def test_names(self):
        """modifiers and units of processors do not change what an event is"""
        for raw in ("cycles", "cycles:u", "cycles:uk", "cpu_core/cycles/", "cpu/cycles/u", "cycles:P"):
            self.assertEqual(base_name(raw), "cycles", raw)
        self.assertTrue(user_only("cycles:u") and user_only("cpu/cycles/u"))
        self.assertFalse(user_only("cycles") or user_only("cycles:uk") or user_only("cycles:P"))

    # ---- broken input ----

    def test_not_perf_stat(self):
        """text without any sign of perf stat"""
        self.refused(parse, "hello\nworld\n", 2, "not the output of perf stat")
        self.refused(parse, "", 1, "not the output of perf stat")

    def test_truncated(self):
        """a file cut off anywhere before its end is refused"""
        text = fixture("seed-perf-stat.txt")
        lines = text.splitlines(keepends=True)
        end = next(n for n, line in enumerate(lines) if "seconds time elapsed" in line)
        for cut in range(2, end + 1):
            with self.subTest(lines=cut):
                self.refused(parse, "".join(lines[:cut]), cut, "truncated")

    def test_every_character(self):
        """a file cut off after any character: InputError or the complete figures, no other exception"""
        from hakmem_profile.errors import InputError

        text = fixture("seed-perf-stat.txt")
        whole = parse(text, "x").events
        for cut in range(len(text)):
            try:
                stat = parse(text[:cut], "x")
            except InputError:
                continue
            self.assertEqual(stat.events, whole, f"cut after {cut} characters")

    def test_line_of_something_else(self):
        """a foreign line among the counters"""
        text = fixture("seed-perf-stat.txt").replace(
            "    38,458,485,670      instructions", "    oops      instructions"
        )
        self.refused(parse, text, 5, "not a line of perf stat")

    def test_impossible_share(self):
        """a counter that ran 416 % of the time"""
        self.refused(parse, fixture("seed-perf-stat.txt").replace("(41.60%)", "(416.0%)"), 4, "cannot run 416.0 %")

    def test_two_at_once(self):
        """two outputs in one file"""
        text = fixture("seed-perf-stat.txt")
        broken = text.replace("       4.219425580 seconds time elapsed", text)
        self.refused(parse, broken, 20, "second perf stat")

    def test_csv_broken(self):
        """CSV lines with fields missing or not numbers"""
        self.refused(parse, "16523264313,,cycles,1755000000,41.60,,\n38458485670,,instr", 2, "truncated: 3 fields")
        self.refused(parse, "16523264313,,cycles,1755000000,41.60,,\nabc,,instructions,1,2,,\n", 2, "not a line")

    def test_json_broken(self):
        """JSON cut off in a line"""
        lines = fixture("stat-json.txt").splitlines()
        self.refused(parse, lines[0] + "\n" + lines[1][:60], 2, "not a line of perf stat -j")
