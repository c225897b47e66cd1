# SPDX-License-Identifier: MIT
"""The three forms of the report: complete, well-formed, self-contained, and the same figures in all."""

import contextlib
import io
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
from html.parser import HTMLParser

from hakmem_profile import cli, collect, document, evidence, functions, markdown, replay, session, webpage
from hakmem_profile.allocators import Allocator
from hakmem_profile.callgrind import parse as parse_callgrind
from hakmem_profile.counting import parse as parse_counts
from hakmem_profile.errors import UsageError
from hakmem_profile.perfreport import parse as parse_report
from hakmem_profile.runner import Run, interleaved
from hakmem_profile.strace import parse as parse_strace
from support import FIXTURES, fixture

OTHER = "<libc> | & co"  # a name that needs care in HTML and in Markdown tables
VOID = {"meta", "link", "br", "img", "input", "hr"}
PATHS = {"version": "0.1.0", "soname": "libhakmem.so.0", "libdir": "/usr/lib", "measure": "/x", "count": None}
MACHINE = {
    "date": "2026-11-23 01:00 UTC", "processor": "A <processor> & more", "architecture": "x86_64", "processors": 2,
    "clock": 3e9, "clock_measured": True, "virtual": True, "memory": 8 << 30, "system": "Debian", "kernel": "6.1",
    "libc": "glibc 2.36", "huge_pages": "madvise", "perf_event_paranoid": 2, "load": 0.1,
}  # fmt: skip


class Options:
    against, runs, ops, clock, limit, simulate = "libc", 3, None, None, 120, "auto"


class Checker(HTMLParser):
    """Collects what is wrong with a page: tags that do not match, and anything that would load something."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.stack, self.faults, self.text, self.tags = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action", "data") or name.startswith("on"):
                self.faults.append(f"<{tag} {name}={value}>")
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if not self.stack or self.stack.pop() != tag:
            self.faults.append(f"</{tag}> does not match")

    def handle_data(self, data):
        self.text.append(data)


def check(page):
    checker = Checker()
    checker.feed(page)
    checker.close()
    return checker


class Rows(Checker):
    """Collects the rows of a page's tables."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def handle_starttag(self, tag, attrs):
        super().handle_starttag(tag, attrs)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if "tr" in self.stack and "svg" not in self.stack and self.rows[-1]:
            self.rows[-1][-1] += data


def plain(words):
    return words.replace("\\", "").replace("`", "").lower()


def rows_of_page(page):
    parser = Rows()
    parser.feed(page)
    return parser.rows


def rows_of_markdown(text):
    lines = (line for line in text.splitlines() if line.startswith("|"))
    return [[cell.strip().strip("`*") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def seed_document():
    e, parts = replay.replay(
        os.path.join(FIXTURES, "seed-perf-stat.txt"), [os.path.join(FIXTURES, "seed-perf-report.txt")], 200000000
    )
    return cli._document(Options, PATHS, e, parts, parts["command"], "replay")


def measurement():
    """A measurement of "prog" under two allocators, as the session would have collected it."""
    m = session.Measurement(MACHINE)
    for number, wall in enumerate((1.0, 1.1, 1.02)):
        m.runs.setdefault("libhakmem", []).append(Run(wall, 0.9, 0.1, 3 << 20, 500 + number, 0, 3, 9, 0))
        m.runs.setdefault(OTHER, []).append(Run(wall * 1.2, 1.1, 0.1, 4 << 20, 700, 0, 3, 9, 0))
    m.counts = parse_counts(fixture("counts.txt"), "counts")
    m.system_calls = {"libhakmem": parse_strace(fixture("strace-6.1.txt"), "s"), OTHER: None}
    m.simulations = {"libhakmem": (parse_callgrind(fixture("callgrind.out.txt"), "c"), True)}
    m.time_tables = {"libhakmem": parse_report(fixture("report-de_DE-samples.txt"), "r")[0]}
    return m


def measured_document(m=None, partial=False):
    everybody = [Allocator("libhakmem", ["libhakmem.so.0"]), Allocator(OTHER, [])]
    program = ["./prog", "<b>", "&amp;"]
    e, parts = session.assemble(Options, PATHS, m or measurement(), everybody, program, MACHINE, {"perf": "6.1"}, False)
    return cli._document(Options, PATHS, e, parts, "prog '<b>' '&amp;'", "measured", partial)


def emptied(kind):
    """The measurement that is left by an interruption."""
    m = measurement()
    if kind == "before the first timed run":
        return session.Measurement(MACHINE)
    if kind == "after one run":
        m.runs = {"libhakmem": m.runs["libhakmem"][:1]}
    m.system_calls, m.simulations, m.time_tables, m.counts = {}, {}, {}, None
    return m


class Report(unittest.TestCase):
    def documents(self):
        yield "seed", seed_document()
        yield "measured", measured_document()
        for kind in ("before the first timed run", "after one run", "after the runs"):
            yield kind, measured_document(emptied(kind), partial=True)

    def test_html(self):
        """tags match, and the page loads no file and runs no script"""
        for name, doc in self.documents():
            with self.subTest(name):
                page = webpage.render(doc)
                checker = check(page)
                self.assertEqual((checker.faults, checker.stack), ([], []))
                self.assertNotIn("script", checker.tags)
                self.assertNotRegex(page, r"https?://|@import|url\(")
                self.assertIn("default-src 'none'", page)

    def test_kept_reports(self):
        """seed/pages.py makes a page of each report in seed/"""
        top = os.environ.get("top_srcdir") or os.path.join(FIXTURES, "..", "..", "..")
        with tempfile.TemporaryDirectory() as to:
            folder = os.path.join(top, "profile", "seed")
            script = os.path.join(folder, "pages.py")
            pages = subprocess.run(
                [sys.executable, script, folder, to], capture_output=True, text=True, check=True
            ).stdout.split()
            self.assertGreaterEqual(len(pages), 3)
            for page in pages:
                checker = Checker()
                with open(page, encoding="utf-8") as file:
                    checker.feed(file.read())
                self.assertEqual((checker.faults, checker.stack), ([], []), page)

    def test_readme(self):
        """README names each module of the package and each script of the tests"""
        package = os.path.join(FIXTURES, "..", "..")
        with open(os.path.join(package, "README"), encoding="utf-8") as file:
            words = set(re.findall(r"[\w.]+", file.read()))
        for folder, suffix in (("hakmem_profile", ".py"), ("tests", ".sh")):
            names = [name for name in os.listdir(os.path.join(package, folder)) if name.endswith(suffix)]
            self.assertGreater(len(names), 4)
            for name in names:
                word = name[: -len(suffix)] if suffix == ".py" else name
                self.assertTrue(word in words or word == "__init__", name)

    def test_html_escapes(self):
        """names from outside are text, never markup"""
        page = webpage.render(measured_document())
        self.assertNotIn("<b>'", page)
        self.assertNotIn("<libc>", page)
        text = "".join(check(page).text)
        self.assertIn(OTHER, text)
        self.assertIn("A <processor> & more", text)
        self.assertIn("prog '<b>' '&amp;'", text)

    def test_svg(self):
        """all lengths in charts are numbers, and not negative"""
        for name, doc in self.documents():
            page = webpage.render(doc)
            self.assertNotRegex(page, r'"(?:nan|inf|-[0-9.]+|None)"', name)

    def test_json(self):
        """report.json has all parts of the document"""
        for name, doc in self.documents():
            with self.subTest(name):
                again = json.loads(json.dumps(doc))
                self.assertEqual(again["format"], "hakmem-profile/1")
                for key in (
                    "verdict",
                    "cases",
                    "budget",
                    "advice",
                    "thresholds",
                    "comparison",
                    "counters",
                    "quality",
                    "partial",
                ):
                    self.assertIn(key, again)

    def test_markdown(self):
        """tables have as many cells in every row as in the head"""
        for name, doc in self.documents():
            text = markdown.render(doc)
            width = None
            for line in text.splitlines():
                cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else None
                if cells and width:
                    self.assertEqual(cells, width, f"{name}: {line}")
                width = cells
            self.assertNotIn("None", text, name)
            self.assertNotIn("nan", text.split(), name)

    def test_same_everywhere(self):
        """verdict, thresholds and measured values are in the Markdown and on the page"""
        doc = seed_document()
        page, text = "".join(check(webpage.render(doc)).text), markdown.render(doc)
        for words in (doc["verdict"]["text"], "26x", "128x", "49.57 %", "41.60 %", "16,523,264,313", "not supported"):
            self.assertIn(words, page)
            self.assertIn(words, text)
        for case in doc["cases"]:
            for indicator in case["indicators"]:
                self.assertIn(indicator["name"], page)
                self.assertIn(indicator["value_text"], text)

    def test_figures_of_json(self):
        """the tables of the Markdown and of the page have, row by row, what JSON has (the page cuts long names)"""
        for name, doc in self.documents():
            doc = json.loads(json.dumps(doc))
            wanted = [[c["name"], f"{c['value']:,.0f}"] for c in doc["counters"] if isinstance(c["value"], int)]
            wanted += [
                [str(f["rank"]), f["name"][:31], *(f"{100 * s:.2f} %" for s in f["shares"].values() if s is not None)]
                for f in (doc["functions"] or {"rows": []})["rows"]
                if f["group"] != "kernel"
            ]
            wanted += [[c["name"], f"{c['ratio']:.2f}", f"{c['page_faults']:,}"] for c in doc["comparison"]]
            for case in doc["cases"]:
                wanted += [[i["name"], i["threshold_text"], i["value_text"]] for i in case["indicators"]]
            # The page has a chart of these.
            budget = [[b["cause"], *(f"{100 * b[k]:.1f} %" for k in ("middle", "low", "high"))] for b in doc["budget"]]
            for form, rows, rest in (
                ("page", rows_of_page(webpage.render(doc)), []),
                ("Markdown", rows_of_markdown(markdown.render(doc)), budget),
            ):
                for cells in wanted + rest:
                    self.assertTrue(any(self.in_order(cells, row) for row in rows), f"{name}: no {cells} in the {form}")

    @staticmethod
    def in_order(cells, row):
        """Whether the row has these cells in this order, others between them."""
        left = iter(row)
        return all(any(wanted in plain(cell) for cell in left) for wanted in map(plain, cells))

    def test_partial(self):
        """an interrupted measurement says so"""
        doc = measured_document(emptied("after one run"), partial=True)
        self.assertIn("Interrupted", markdown.render(doc))
        self.assertIn("interrupted", webpage.render(doc))

    def test_comparison(self):
        """medians, spread, ratio to the first, calls per operation"""
        first, second = measured_document()["comparison"]
        self.assertEqual((first["wall"], first["ratio"], second["ratio"]), (1.02, 1.0, 1.2))
        self.assertAlmostEqual(first["spread"], 0.05 / 1.02)
        self.assertEqual((first["peak_rss"], first["page_faults"], first["system_calls"]), (3 << 20, 501, 1154))
        self.assertEqual(first["memory_calls"], 908 + 32 + 5 + 14 + 1)
        self.assertAlmostEqual(first["allocator_share"], 0.3825)

    def test_simulated_is_said(self):
        """simulated figures are called that wherever they stand"""
        doc = measured_document()
        self.assertEqual(set(doc["simulated"]) & {"cycles", "instructions"}, {"cycles", "instructions"})
        self.assertTrue(all(c["simulated"] for c in doc["counters"]))
        columns = {c["key"]: c["simulated"] for c in doc["functions"]["columns"]}
        self.assertEqual((columns["time"], columns["misses"], columns["instructions"]), (False, True, True))
        self.assertTrue(any("Times come from real runs" in note for note in doc["quality"]))
        self.assertIn("(simulated)", markdown.render(doc))
        self.assertIn(">simulated<", webpage.render(doc))

    def test_estimate_is_said(self):
        """the headline says that a share of the time was estimated, and from what"""
        for complete, words in ((True, "an estimate from a simulation"),
                                (False, "beginning, which was ended after 120 s")):  # fmt: skip
            m = measurement()
            m.time_tables = {}
            costs = m.simulations["libhakmem"][0]
            costs.functions = {("prog", "work"): [1000 * c + 1000 for c in costs.total], **costs.functions}
            m.simulations = {"libhakmem": (costs, complete)}
            m.runs["libhakmem"] = [Run(9.0, 8.9, 0.01, 3 << 20, 500, 0, 3, 9, 0)] * 3
            doc = measured_document(m)
            self.assertEqual(doc["verdict"]["case"], "not-allocator", doc["verdict"])
            self.assertTrue(doc["verdict"]["text"].startswith("By an estimate from a simulation"), doc["verdict"])
            first = markdown.render(doc).split("### ")[0]
            page = "".join(check(webpage.render(doc)).text).split("What to do")[0]
            for text in (document.summary_line(doc), first, page):
                self.assertIn(words, text)
            self.assertEqual(any("beginning" in r["text"] for r in doc["verdict"]["reasons"]), not complete)
            self.assertTrue(doc["comparison"][0]["allocator_share_simulated"])
        doc = seed_document()
        self.assertIsNone(doc["verdict"]["estimate"])
        self.assertNotIn("estimate from", document.summary_line(doc))

    def test_noise_stands_in_front(self):
        """the spread of the runs stands before their table, and beside each ratio"""
        m = measurement()
        for run, factor in zip(m.runs[OTHER], (1.0, 2.4, 1.75)):
            run.wall, run.user = factor, 0.9 * factor
        doc = measured_document(m)
        text, page = markdown.render(doc), "".join(check(webpage.render(doc)).text)
        self.assertEqual(len(doc["noise"]), 1)
        self.assertFalse([note for note in doc["quality"] if "differ" in note])
        for form in (text, page):
            section = form.split("Time and memory")[1]
            self.assertLess(section.index(doc["noise"][0]), section.index("peak"))
            self.assertIn("1.72 ±45 %, unclear", form)
        self.assertIn("Even processor times differ", doc["noise"][0])
        self.assertEqual(document.ratio_text(1.75, 0.02), "1.75")
        self.assertEqual(document.ratio_text(1.75, 0.1), "1.75 ±10 %")
        self.assertEqual(measured_document()["noise"], [])

    def test_kernel_apart(self):
        """the kernel's functions have a table of their own"""
        doc = measured_document()
        self.assertEqual([r["name"] for r in doc["functions"]["kernel"]], ["clear_page_erms"])
        self.assertNotIn("clear_page_erms", [r["name"] for r in doc["functions"]["rows"]])

    def test_sizes(self):
        """every class and the powers of two have all calls"""
        sizes = measured_document()["sizes"]
        self.assertEqual([(c["upto"], c["count"]) for c in sizes["classes"]], [(16, 1), (32, 13), (4096, 1)])
        self.assertEqual(sum(p["count"] for p in sizes["powers"]), 15)

    def test_notes_name_packages(self):
        """a tool that is missing is named with the package that has it"""
        from hakmem_profile import machine

        self.assertEqual(set(machine.PACKAGES), {"perf", "valgrind", "strace"})
        self.assertIn("linux-perf", machine.PACKAGES["perf"])


class Written(unittest.TestCase):
    """The files of a report."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="hakmem-report-test.")
        self.out = os.path.join(self.folder, "out")
        self.doc = seed_document()

    def tearDown(self):
        shutil.rmtree(self.folder)

    def full(self, room):
        """Writes with room for files of so many bytes only: the text of the error, and of standard error."""
        errors, limits = io.StringIO(), resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        try:
            with self.assertRaises(UsageError) as caught, contextlib.redirect_stderr(errors):
                cli.write(self.out, self.doc)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        return str(caught.exception), errors.getvalue()

    def test_earlier(self):
        """an earlier report is kept, and write() tells that there was one"""
        self.assertFalse(cli.write(self.out, self.doc))
        self.doc["title"] = "another"
        self.assertTrue(cli.write(self.out, self.doc))
        self.assertEqual(len(os.listdir(self.out)), 6)
        for name, title in (("report.json", "another"), ("report.old.json", seed_document()["title"])):
            with open(os.path.join(self.out, name), encoding="utf-8") as file:
                self.assertEqual(json.load(file)["title"], title)

    def test_full(self):
        """a full disk: no file is left half written, the earlier report stays, and the new one is on standard error"""
        cli.write(self.out, self.doc)
        self.doc["title"] = "another"
        with unittest.mock.patch("tempfile.tempdir", self.folder):
            error, text = self.full(5000)
        self.assertIn("it is above, as Markdown", error)
        self.assertEqual(text, markdown.render(self.doc))
        self.assertEqual(sorted(os.listdir(self.out)), ["report.html", "report.json", "report.md"])
        self.assertEqual(os.listdir(self.folder), ["out"])
        with open(os.path.join(self.out, "report.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file)["title"], seed_document()["title"])

    def test_elsewhere(self):
        """a folder that cannot be written to: the report is where there is room"""
        with open(self.out, "w", encoding="utf-8"):
            pass
        with unittest.mock.patch("tempfile.tempdir", self.folder), self.assertRaises(UsageError) as caught:
            cli.write(self.out, self.doc)
        folder = str(caught.exception).split("; it is in ")[1]
        self.assertEqual(sorted(os.listdir(folder)), ["report.html", "report.json", "report.md"])

    def test_no_room_for_tools(self):
        """a tool whose files cannot be written: its figures are missing, and a note tells why"""
        notes = []
        collector = collect.Collector(None, os.path.join(self.folder, "gone"), notes)
        self.assertEqual(collector.simulate(Allocator("libc", []), 1), (None, True))
        self.assertEqual(len(notes), 1)
        self.assertTrue(notes[0].startswith("No figures of simulate: "), notes)


class Functions(unittest.TestCase):
    def test_groups(self):
        """allocators by library or by name, the kernel, the loader, the program"""
        for symbol, dso, kernel, expected in (
            ("anything", "/usr/lib/libjemalloc.so.2", False, "allocator"),
            ("_int_malloc", "/lib/libc.so.6", False, "allocator"),
            ("__libc_malloc", "libc.so.6", False, "allocator"),
            ("strlen", "libc.so.6", False, "library"),
            ("operator new(unsigned long)", "bench", False, "allocator"),
            ("malloc.constprop.0", "bench", False, "allocator"),
            ("free@plt", "bench", False, "allocator"),
            ("malloc@@GLIBC_2.2.5", "libc.so.6", False, "allocator"),
            ("free_list_of_mine", "bench", False, "program"),
            ("hak_refill", "static", False, "allocator"),
            ("count", "/x/libhakmem-count.so", False, "library"),
            ("_dl_relocate_object", "ld-linux-x86-64.so.2", False, "loader"),
            ("clear_page_erms", "[kernel.kallsyms]", True, "kernel"),
            ("nf_hook", "[nf_tables]", False, "kernel"),
            ("__vdso_clock_gettime", "[vdso]", False, "program"),
        ):
            self.assertEqual(functions.group(symbol, dso, kernel), expected, symbol)

    def test_kinds(self):
        """page work and locks"""
        for symbol in ("clear_page_erms", "get_mem_cgroup_from_mm", "do_anonymous_page", "free_pcppages_bulk"):
            self.assertTrue(functions.is_page_work(symbol), symbol)
        for symbol in ("native_queued_spin_lock_slowpath", "futex_wait", "pthread_mutex_lock@@GLIBC_2.2.5", "osq_lock"):
            self.assertTrue(functions.is_lock(symbol), symbol)
        for symbol in ("main", "malloc", "do_syscall_64"):
            self.assertFalse(functions.is_lock(symbol) or functions.is_page_work(symbol), symbol)

    def test_same_name_in_two_files(self):
        """functions of one name in two files are not mixed up"""
        time = functions.prepare([{"percent": 60.0, "symbol": "malloc", "object": "a.so"},
                                  {"percent": 40.0, "symbol": "malloc", "object": "b.so"}])  # fmt: skip
        misses = functions.prepare([{"percent": 10.0, "symbol": "malloc", "object": "b.so"}])
        self.assertEqual([row["ratio"] for row in functions.join(time, misses)], [None, 4.0])


class Order(unittest.TestCase):
    def test_interleaved(self):
        """every round has each allocator once, and each is first equally often"""
        order = list(interleaved(["a", "b", "c"], 3))
        self.assertEqual("".join(a for _, a in order), "abcbcacab")
        self.assertEqual([n for n, _ in order], [1, 1, 1, 2, 2, 2, 3, 3, 3])

    def test_empty_evidence(self):
        """a document can be made without any evidence"""
        doc = document.judged(evidence.Evidence())
        self.assertEqual(doc["verdict"]["case"], "undecided")
