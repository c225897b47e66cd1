# SPDX-License-Identifier: MIT
"""perf report as several versions print it; and text that is broken."""

from hakmem_profile.perfreport import parse
from support import InputErrors, fixture


class PerfReport(InputErrors):
    def rows(self, table):
        return [(row["percent"], row["symbol"], row["object"], row["kernel"]) for row in table.rows]

    def test_version_3_with_graph(self):
        """perf 3.16 with call graphs, templates with blanks, samples in thousands"""
        (table,) = parse(fixture("report-3.16-graph.txt"), "x")
        self.assertEqual((table.event, table.samples, table.count), ("cycles:u", 12000, 9876543210))
        self.assertEqual(
            self.rows(table),
            [
                (41.20, "malloc", "libhakmem.so.0.0.0", False),
                (30.05, "std::vector<int, std::allocator<int> >::push_back(int const&)", "server", False),
                (8.75, "clear_page_erms", "[kernel.kallsyms]", True),
                (5.00, "pthread_mutex_lock", "libc-2.19.so", False),
            ],
        )

    def test_german_with_samples(self):
        """decimal commas, a column of samples, columns after the symbol, addresses of one file put together"""
        (table,) = parse(fixture("report-de_DE-samples.txt"), "x")
        self.assertEqual((table.event, table.samples, table.lost), ("cpu-clock", 1234, 7))
        self.assertEqual(
            self.rows(table),
            [
                (50.41, "clear_page_erms", "[kernel.kallsyms]", True),
                (38.25, "(no symbols: libjemalloc.so.2)", "libjemalloc.so.2", False),
                (11.34, "main", "prog", False),
            ],
        )
        self.assertEqual([row["samples"] for row in table.rows], [622, 472, 140])

    def test_separator(self):
        """-t ';'"""
        (table,) = parse(fixture("report-separator.txt"), "x")
        self.assertEqual(self.rows(table), [(60.0, "free", "libhakmem.so.0", False), (39.5, "main", "prog", False)])

    def test_children(self):
        """with --children the share of the function itself is taken"""
        (table,) = parse(fixture("report-children.txt"), "x")
        self.assertEqual(self.rows(table)[0], (43.90, "malloc", "bench", False))

    def test_two_tables(self):
        """the seed's two events in one file"""
        tables = parse(fixture("seed-perf-report.txt"), "x")
        self.assertEqual(
            [(t.event, t.samples, len(t.rows)) for t in tables], [("cycles:P", 423, 19), ("cache-misses", 403, 12)]
        )

    # ---- broken input ----

    def test_not_perf_report(self):
        """text of something else"""
        self.refused(parse, "hello\n", 1, "not the output of perf report")
        self.refused(parse, "", 1, 'no line "# Samples"')
        self.refused(parse, "    28.56%  a  b  [.] malloc\n", 1, "before any line")

    def test_no_rows(self):
        """an event without functions"""
        head = "# header\n# Samples: 423  of event 'cycles:P'\n# Overhead  Command  Shared Object  Symbol\n"
        self.refused(parse, head, 2, "no function follows")

    def test_cut_row(self):
        """a row cut off before its symbol, anywhere"""
        lines = fixture("seed-perf-report.txt").splitlines()
        number = next(n for n, line in enumerate(lines, 1) if "unified_cache_push" in line)
        row = lines[number - 1]
        for end in range(row.index("%") + 1, row.index("[.]") + 4):
            with self.subTest(row[:end]):
                self.refused(parse, "\n".join(lines[: number - 1] + [row[:end]]), number, "truncated")

    def test_cut_share(self):
        """a row cut off within its share"""
        lines = fixture("seed-perf-report.txt").splitlines()
        number = next(n for n, line in enumerate(lines, 1) if "unified_cache_push" in line)
        self.refused(parse, "\n".join(lines[: number - 1] + ["     3.8"]), number, "not a row")

    def test_cut_between_rows(self):
        """a table that ends after its first rows, with less than half of the time"""
        lines = fixture("seed-perf-report.txt").splitlines()
        self.refused(parse, "\n".join(lines[:12]), 12, "truncated")
        self.assertEqual(len(parse("\n".join(lines[:14]), "x")[0].rows), 3)

    def test_too_much(self):
        """shares that add up to more than 100 %, as in tables of several runs"""
        text = fixture("seed-perf-report.txt").replace("20.87%", "80.87%")
        self.refused(parse, text, 6, "add up to")

    def test_binary_noise(self):
        """a line that is no row"""
        text = (
            fixture("seed-perf-report.txt").replace("    26.66%", "#x 26.66%").replace("    20.87%  bench", "x 20.87%")
        )
        self.refused(parse, text, 14, "not a row of perf report")
