# SPDX-License-Identifier: MIT
"""The verdict, case by case, from made-up evidence in which one cause leads, or is weakened or contradicted."""

import os
import re
import unittest

import tap

from hakmem_profile import advice, cases, verdict
from hakmem_profile.budget import budget
from hakmem_profile.evidence import Evidence


def evidence(**changes):
    """A program that keeps a core busy for a second, half of it in the allocator, without a leading cause."""
    values = {
        "wall": 1.0,
        "user": 0.99,
        "sys": 0.01,
        "spread": 0.01,
        "runs": 5,
        "cycles": 3.0e9,
        "instructions": 4.0e9,
        "branches": 8e8,
        "branch_misses": 2e6,
        "cache_references": 2e7,
        "cache_misses": 1e5,
        "l1d_loads": 1e9,
        "l1d_misses": 1e7,
        "l1i_misses": 1e5,
        "dtlb_misses": 1e5,
        "itlb_misses": 1e3,
        "lowest_running": 100.0,
        "operations": 4e7,
        "page_faults": 200,
        "voluntary_switches": 3,
        "allocator_share": 0.5,
        "kernel_share": 0.01,
        "page_work_share": 0.005,
        "lock_share": 0.0,
        "samples": 3000,
        "hot_ratios": [12.0, 20.0],
    }
    values.update(changes)
    return Evidence(**values)


class Cases(unittest.TestCase):
    def judged(self, expected, e, also=None, level=None):
        result = verdict.judge(e)
        states = {c.id: (c.state, c.why) for c in result.cases}
        self.assertEqual(result.case, expected, states)
        if also is not None:
            self.assertEqual(result.also, also, states)
        if level:
            self.assertEqual(result.level, level, result.reasons)
        self.assertTrue(result.text)
        self.assertTrue(advice.advise(e, result), "no advice")
        return result

    def state(self, e, case):
        return next(c.state for c in verdict.judge(e).cases if c.id == case)

    def test_not_allocator(self):
        """4 % of the time in the allocator"""
        result = self.judged("not-allocator", evidence(allocator_share=0.04), level="high")
        self.assertIn("4.0 %", result.text)

    def test_not_allocator_by_calls(self):
        """no table of functions, but so few calls that there is no doubt"""
        few = evidence(allocator_share=None, page_work_share=None, lock_share=None, samples=None, operations=1e5)
        self.judged("not-allocator", few)
        many = evidence(allocator_share=None, page_work_share=None, lock_share=None, samples=None, operations=1e8)
        self.assertEqual(self.state(many, "not-allocator"), "fails")
        doubtful = evidence(allocator_share=None, page_work_share=None, lock_share=None, samples=None, operations=5e6)
        self.assertEqual(self.state(doubtful, "not-allocator"), "open")

    def test_not_allocator_needs_quiet_kernel(self):
        """little time in the allocator, but its page faults cost a third"""
        self.judged("page-work", evidence(allocator_share=0.05, page_work_share=0.33, user=0.6, sys=0.4))

    def test_instructions(self):
        """2.7 instructions per cycle"""
        result = self.judged("instructions", evidence(instructions=8.1e9), also=[], level="high")
        self.assertIn("2.70", result.text)
        self.assertIn("instructions per operation", result.text)

    def test_instructions_with_leaner_peer(self):
        """a peer that needs fewer instructions is named, with what that may gain"""
        e = evidence(instructions=8.1e9, peers=[{"name": "mimalloc", "instructions": 4.05e9}])
        first = advice.advise(e, verdict.judge(e))[0]
        self.assertIn("mimalloc", first["what"])
        self.assertIn("50 %", first["what"])
        self.assertIn("27 %", first["gain"])  # half of the 54 % that the instructions need

    def test_mispredictions(self):
        """one misprediction per operation at 75 cycles an operation"""
        result = self.judged("mispredictions", evidence(branch_misses=4e7), also=[], level="high")
        self.assertIn("22 %", result.text)

    def test_mispredictions_of_the_program(self):
        """mispredictions that lie in the program are not blamed on the allocator"""
        e = evidence(branch_misses=4e7)
        outside = {"allocator": 0.001, "first": "main", "first_share": 0.99}
        e.places["mispredictions"] = outside
        what = [a["what"] for a in advice.advise(e, verdict.judge(e))]
        self.assertEqual(len(what), 1)
        self.assertIn("99 % of the mispredictions are in `main`", what[0])
        e.places["mispredictions"] = {**outside, "allocator": 0.5}
        self.assertIn("11 %", advice.advise(e, verdict.judge(e))[1]["gain"])

    def test_store_dependency(self):
        """0.8 instructions per cycle, and nothing that explains it"""
        self.judged("store-dependency", evidence(instructions=2.4e9), also=[], level="high")

    def test_store_dependency_not_with_high_ipc(self):
        """the seed's reading: high time/miss ratios alone do not make it store bound"""
        e = evidence(instructions=6.9e9, hot_ratios=[20.0, 128.0])
        case = next(c for c in verdict.judge(e).cases if c.id == "store-dependency")
        self.assertEqual(case.state, "fails")
        self.assertIn("high time/miss ratios only say", case.why)

    def test_store_dependency_is_what_is_left(self):
        """store-dependency holds only if no measured cause is large enough"""
        for changes in (
            {"branch_misses": 4e7},
            {"cache_misses": 1e7, "l1d_misses": 3e7},
            {"l1i_misses": 1.2e8},
            {"sys": 0.5, "user": 0.5},
            {"lock_share": 0.2},
        ):
            with self.subTest(changes):
                self.assertEqual(self.state(evidence(**changes), "store-dependency"), "fails")
        self.assertEqual(self.state(evidence(), "store-dependency"), "holds")
        self.assertEqual(self.state(evidence(branch_misses=None), "store-dependency"), "open")
        for changes in (
            {"l1i_misses": None, "itlb_misses": None},
            {"user": None, "sys": None, "kernel_share": None},
            {"lock_share": None},
        ):
            with self.subTest(changes):
                self.assertEqual(self.state(evidence(**changes), "store-dependency"), "holds")

    def test_misses(self):
        """0.5 instructions per cycle, one miss to memory every 150 instructions"""
        e = evidence(instructions=1.5e9, cache_misses=1e7, l1d_misses=3e7, hot_ratios=[0.9, 1.2])
        result = self.judged("misses", e)
        self.assertNotIn("store-dependency", result.also)

    def test_misses_of_tlb(self):
        """dTLB misses alone suffice, and the advice is huge pages"""
        e = evidence(instructions=1.5e9, dtlb_misses=4e7)
        result = self.judged("misses", e)
        self.assertTrue(any("Huge pages" in a["what"] and a["gain"] for a in advice.advise(e, result)))

    def test_instruction_cache(self):
        """30 L1i misses in 1000 instructions"""
        self.judged(
            "instruction-cache", evidence(instructions=2.8e9, branch_misses=1e6, l1i_misses=1.2e8, l1d_misses=1e6)
        )

    def test_instruction_cache_by_rate_only(self):
        """a high rate of few iTLB misses, as in the seed, does not hold"""
        e = evidence(itlb_loads=39799, itlb_misses=19727, l1i_misses=None)
        self.assertEqual(self.state(e, "instruction-cache"), "fails")

    def test_page_work(self):
        """half of the processor time is the kernel's, for pages"""
        e = evidence(user=0.5, sys=0.5, page_work_share=0.42, kernel_share=0.5, page_faults=900000)
        result = self.judged("page-work", e)
        self.assertTrue(any("M_TRIM_THRESHOLD" in a["what"] for a in advice.advise(e, result)))

    def test_knobs_exist(self):
        """each knob that is advised is one of libhakmem's"""
        with open(os.path.join(tap.TOP, "src", "knobs", "knobs.def"), encoding="ascii") as table:
            knobs = set(re.findall(r"^HAK_KNOB\((\w+)", table.read(), re.M))
        with open(advice.__file__, encoding="utf-8") as source:
            named = re.findall(r"--tune=([^`]+)`", source.read())
        settings = [setting for string in named for setting in string.split(",")]
        self.assertGreater(len(settings), 5)
        for setting in settings:
            self.assertIn(setting.split("=")[0], knobs)

    def test_functions_exist(self):
        """each function that advice names is one of libhakmem's"""
        with open(advice.__file__, encoding="utf-8") as source:
            named = set(re.findall(r"\bhak_\w+", source.read()))
        self.assertGreater(len(named), 1)
        source = ""
        for folder, _, names in os.walk(os.path.join(tap.TOP, "src")):
            for name in names:
                if name.endswith(".h"):
                    with open(os.path.join(folder, name), encoding="utf-8") as file:
                        source += file.read()
        for name in named:
            self.assertRegex(source, rf"\b{name}\(")

    def test_page_work_by_faults(self):
        """without a table of functions the number of faults decides"""
        e = evidence(user=0.5, sys=0.5, page_work_share=None, kernel_share=None, page_faults=900000)
        self.assertEqual(self.state(e, "page-work"), "holds")
        e = evidence(user=0.5, sys=0.5, page_work_share=None, kernel_share=None, page_faults=900)
        self.assertEqual(self.state(e, "page-work"), "fails")

    def test_locks_by_functions(self):
        """a third of the time in locks"""
        self.judged("locks", evidence(lock_share=0.35))

    def test_locks_by_switches(self):
        """threads that wait for one another 20000 times a second"""
        self.judged("locks", evidence(voluntary_switches=20000, futex_calls=30000, user=0.4, sys=0.07))

    def test_cut_table(self):
        """a table of functions that was cut: the confidence falls, and says why"""
        whole, cut = verdict.judge(evidence(listed=0.99)), verdict.judge(evidence(listed=0.76))
        self.assertLess(cut.confidence, whole.confidence)
        self.assertTrue(any("76.0 %" in text for _, text in cut.reasons), cut.reasons)

    def test_locks_without_a_share(self):
        """busy threads that switch, and no table of functions: the share is not known, and the text says no number"""
        waits = {"voluntary_switches": 90000, "futex_calls": 90000, "lock_share": None}
        e = evidence(user=1.5, sys=0.2, instructions=5.4e9, **waits)
        result = self.judged("locks", e)
        self.assertIsNone(next(c for c in result.cases if c.id == "locks").share)
        self.assertTrue(result.text.startswith("Threads wait for one another."), result.text)

    def test_waiting_for_others_is_no_lock(self):
        """a server that waits for its clients switches as often, but makes no futex calls"""
        e = evidence(voluntary_switches=20000, futex_calls=4, user=0.4, sys=0.07)
        self.assertEqual(self.state(e, "locks"), "fails")

    def test_undecided(self):
        """nothing leads"""
        e = evidence(instructions=5.2e9)
        result = self.judged("undecided", e)
        self.assertEqual(result.confidence, 0.0)
        self.assertIn("none of which leads", result.text)

    def test_undecided_without_counters(self):
        """no counters at all: the cases stay open, and the advice is where to measure"""
        e = Evidence(wall=1.0, user=1.0, sys=0.0, runs=1, operations=5e7)
        result = self.judged("undecided", e)
        self.assertEqual(
            {c.state for c in result.cases if c.id in ("instructions", "mispredictions", "misses")}, {"open"}
        )
        self.assertTrue(any("--replay" in a["what"] for a in advice.advise(e, result)))

    def test_nothing_known(self):
        """no evidence at all is no error"""
        self.judged("undecided", Evidence())

    def test_order(self):
        """of two causes the larger one is named first"""
        e = evidence(instructions=7.0e9, branch_misses=4e7)
        self.judged("instructions", e, also=["mispredictions"])
        e = evidence(instructions=6.1e9, branch_misses=8.5e7)
        self.judged("mispredictions", e, also=["instructions"])


class Confidence(unittest.TestCase):
    def confidence(self, **changes):
        return verdict.judge(evidence(instructions=8.1e9, **changes)).confidence

    def test_falls(self):
        """few samples, multiplexing, unstable runs, a single run, simulation: each takes its part"""
        best = self.confidence()
        self.assertEqual(best, 0.95)
        for changes in (
            {"samples": 50},
            {"samples": 300},
            {"lowest_running": 41.6},
            {"lowest_running": 15.0},
            {"spread": 0.04},
            {"spread": 0.3},
            {"spread": None},
            {"user": 0.05, "sys": 0.0},
            {"simulated": {"cycles", "instructions"}},
            {"branch_misses": 7e7},
            {"operations": None},
        ):
            with self.subTest(changes):
                self.assertLess(self.confidence(**changes), best)

    def test_order(self):
        """the worse the evidence the lower the confidence"""
        for name, values in (
            ("samples", (5000, 700, 200, 50)),
            ("lowest_running", (90.0, 60.0, 30.0, 10.0)),
            ("spread", (0.01, 0.04, 0.08, 0.2)),
        ):
            got = [self.confidence(**{name: value}) for value in values]
            self.assertEqual(got, sorted(got, reverse=True), name)
            self.assertEqual(len(set(got)), len(got), name)

    def test_too_weak(self):
        """when everything is bad it is undecided, and says where the indicators point"""
        result = verdict.judge(
            evidence(
                instructions=8.1e9, samples=20, lowest_running=9.0, spread=0.4, simulated={"instructions", "cycles"}
            )
        )
        self.assertEqual(result.case, "undecided")
        self.assertIn("instruction bound", result.text)
        self.assertIn("too weak", result.text)

    def test_reasons(self):
        """every loss of confidence is explained, and the product is the confidence"""
        result = verdict.judge(evidence(instructions=8.1e9, samples=50, spread=0.08))
        product = 0.95
        for factor, text in result.reasons:
            self.assertTrue(text)
            product *= factor
        self.assertAlmostEqual(product, result.confidence, 2)


class Budget(unittest.TestCase):
    def test_adds_up(self):
        """the middles add up to all cycles, and low <= middle <= high"""
        parts = budget(evidence())
        self.assertAlmostEqual(sum(part.share.middle for part in parts), 1.0, 6)
        for part in parts:
            low, middle, high = part.share
            self.assertTrue(0 <= low <= middle <= high, part)

    def test_too_much(self):
        """causes that explain more than all cycles are said to, and cost confidence"""
        result = verdict.judge(evidence(instructions=8.1e9, branch_misses=2e8))
        self.assertTrue(any("more than all cycles" in note for note in result.notes))
        self.assertTrue(any("more than all" in text for _, text in result.reasons))

    def test_without_cycles(self):
        """no budget without cycles"""
        self.assertEqual(budget(evidence(cycles=None)), [])

    def test_unmeasured_is_not_zero(self):
        """a cause that was not measured is not in the budget"""
        causes = [part.cause for part in budget(evidence(branch_misses=None, l1i_misses=None, itlb_misses=None))]
        self.assertEqual(causes, ["instructions", "data misses", "unexplained"])

    def test_thresholds_are_all_used(self):
        """each printed threshold decides something"""
        examined = cases.examine(evidence(), budget(evidence()))
        used = {(indicator.threshold, indicator.unit) for case in examined for indicator in case.indicators}
        for name, (value, unit, why) in cases.THRESHOLDS.items():
            self.assertIn((value, unit), used, name)
            self.assertTrue(why)
