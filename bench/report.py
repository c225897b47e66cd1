# SPDX-License-Identifier: MIT
"""What the figures of all rounds mean: ratios to the best peer, noise, goals; as text and as JSON."""

import copy
import json
import math
import os
import platform
import time

import runner

MEBI = 1 << 20


def geometric_mean(values):
    values = [value for value in values if value and value > 0]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


class Comparison:
    """The subject (libhakmem, or whichever allocator comes first) against the best of all others."""

    def __init__(self, chosen, results, subject, threshold):
        self.chosen = chosen
        self.results = results
        self.subject = subject
        self.names = results.names
        self.peers = [name for name in results.names if name != subject]
        self.threshold = threshold

    def without(self, name):
        """The same with one peer less; None if there is no such peer, or no other."""
        if name not in self.peers or len(self.peers) == 1:
            return None
        fewer = copy.copy(self)
        fewer.peers = [peer for peer in self.peers if peer != name]
        return fewer

    def best_peer(self, workload, metric):
        medians = {name: self.results.median(workload.name, name, metric) for name in self.peers}
        there = [name for name in self.peers if medians[name] is not None]
        return min(there, key=lambda name: medians[name]) if there else None

    def ratio(self, workload, metric, name=None):
        """Median over the best peer's; None if either is missing, or if the best peer's is zero."""
        best = self.best_peer(workload, metric)
        mine = self.results.median(workload.name, name or self.subject, metric)
        if best is None or mine is None:
            return None
        other = self.results.median(workload.name, best, metric)
        return mine / other if other else None

    def noise(self, workload, metric):
        """How large a difference between two allocators chance alone may make here; None from a single round.

        The larger of what the control differs from its twin, and of half the spread of the two that are compared.
        """
        if len(self.results.get(workload.name, self.names[0], metric)) < 2:
            return None
        best = self.best_peer(workload, metric)
        twin = self.results.median(workload.name, self.names[0], metric)
        again = self.results.median(workload.name, runner.CONTROL, metric)
        found = [abs(again / twin - 1)] if twin and again else []
        for name in (self.subject, best):
            spread = self.results.spread(workload.name, name, metric)
            if spread is not None:
                found.append(spread / 2)
        return max(found) if found else None

    def verdict(self, workload, metric):
        ratio, noise = self.ratio(workload, metric), self.noise(workload, metric)
        if self.subject in self.results.failures.get(workload.name, {}):
            return "failed"
        if ratio is None:
            return ""
        if noise is None:
            return "one round"
        if abs(ratio - 1) <= noise:
            return "too noisy to tell" if noise > self.threshold else "level"
        return "ahead" if ratio < 1 else "behind"

    def noisy(self):
        return [workload.name for workload in self.chosen
                if (self.noise(workload, workload.clock) or 0) > self.threshold]

    def mean(self, metric_of, name=None):
        return geometric_mean(self.ratio(workload, metric_of(workload), name) for workload in self.chosen)


def clock_of(workload):
    return workload.clock


def peak_of(_):
    return "peak_rss"


def idle_of(_):
    return "idle_rss"


# ---- Text ------------------------------------------------------------------------------------------------------------

def table(rows):
    """Columns as wide as they need be: the first flush left, the others flush right, two spaces between."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for number, row in enumerate(rows):
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
        if number == 0:
            lines.append("-" * len("  ".join(cells)))
    return lines


def figure(value, digits=3):
    if value is None:
        return "-"
    return f"{value:.{digits}g}" if abs(value) < 1000 else f"{value:.0f}"


def ratio_text(value):
    return "-" if value is None else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def absolute_table(comparison, metric_of, unit, scale, with_spread):
    """Medians; with their spread and the name of the clock where it is times."""
    rows = [["workload", *(["clock"] if with_spread else []), *comparison.names]]
    for workload in comparison.chosen:
        metric = metric_of(workload)
        row = [workload.name, *([metric] if with_spread else [])]
        for name in comparison.names:
            value = comparison.results.median(workload.name, name, metric)
            spread = comparison.results.spread(workload.name, name, metric) if with_spread else None
            cell = figure(None if value is None else value / scale)
            if name in comparison.results.failures.get(workload.name, {}):
                cell = "failed"
            elif spread is not None:
                cell += f" ±{spread * 50:.0f}%"
            row.append(cell)
        if any(cell != "-" for cell in row[-len(comparison.names):]):
            rows.append(row)
    return [f"in {unit}"] + table(rows) if len(rows) > 1 else []


def ratio_table(comparison, metric_of, with_verdict):
    head = ["workload", "best peer", comparison.subject]
    if with_verdict:
        head += ["noise", "verdict"]
    rows = [head + comparison.peers]
    for workload in comparison.chosen:
        metric = metric_of(workload)
        best = comparison.best_peer(workload, metric)
        if best is None:
            continue
        row = [workload.name, best, ratio_text(comparison.ratio(workload, metric))]
        if with_verdict:
            noise = comparison.noise(workload, metric)
            row += ["-" if noise is None else f"{noise * 100:.0f}%", comparison.verdict(workload, metric)]
        rows.append(row + [ratio_text(comparison.ratio(workload, metric, name)) for name in comparison.peers])
    if len(rows) == 1:
        return []
    means = ["geometric mean", "", ratio_text(comparison.mean(metric_of))] + (["", ""] if with_verdict else [])
    rows.append(means + [ratio_text(comparison.mean(metric_of, name)) for name in comparison.peers])
    return table(rows)


def others_table(comparison):
    rows = [["workload", "figure", *comparison.names]]
    for workload in comparison.chosen:
        for metric, about in workload.others.items():
            row = [workload.name, about]
            row += [figure(comparison.results.median(workload.name, name, metric)) for name in comparison.names]
            rows.append(row)
    return table(rows) if len(rows) > 1 else []


# What libhakmem is to reach.  Each is (text, workload or None for all, metric or None for the time, limit).
GOALS = [
    ("larson, time / best peer", "larson", None, 0.9),
    ("larson, 64 threads", "larson-64", None, 0.9),
    ("producer/consumer", "xmalloc", None, 0.9),
    ("64 threads exchanging blocks", "exchange-64", None, 0.9),
    ("random replacement, 10 million live", "replace-1e7", None, 0.5),
    ("p99.9 of a single call / best peer", "latency", "p99.9", 0.6),
    ("RSS over live bytes, 90 % holes / best peer", "holes", "rss_over_live", 0.9),
]


def goal_rows(comparison):
    """(text, limit, reached value) for each goal whose workload was run."""
    by_name = {workload.name: workload for workload in comparison.chosen}
    ratios = [comparison.ratio(workload, workload.clock) for workload in comparison.chosen]
    ratios = [ratio for ratio in ratios if ratio is not None]
    rows = [("time / best peer, geometric mean", 0.95, geometric_mean(ratios)),
            ("time / best peer, the worst workload", 1.05, max(ratios, default=None)),
            ("peak RSS / lowest peer, geometric mean", 1.0, comparison.mean(peak_of))]
    libraries = comparison.without("glibc")
    if libraries:
        rows.append(("the same, of the other peers than glibc", 1.0, libraries.mean(peak_of)))
    failures = sum(comparison.subject in failed for failed in comparison.results.failures.values())
    if failures:
        rows.append(("workloads that failed", 0, failures))
    for text, name, metric, limit in GOALS:
        if name in by_name:
            rows.append((text, limit, comparison.ratio(by_name[name], metric or by_name[name].clock)))
    results = comparison.results
    if "perclass-small" in by_name:
        rows.append(("dearest / cheapest size to 2 KiB", 1.15,
                     results.median("perclass-small", comparison.subject, "flatness")))
    if "latency" in by_name:
        rows.append(("calls above 1 ms that are not the kernel's, in any round", 0,
                     max(results.get("latency", comparison.subject, "quiet_above_1ms"), default=None)))
    return [row for row in rows if row[2] is not None]


def goals_table(comparison):
    rows = [["goal", "at most", "reached", ""]]
    for text, limit, value in goal_rows(comparison):
        rows.append([text, figure(limit), f"{value:.3g}", "yes" if value <= limit else "no"])
    return table(rows) if len(rows) > 1 else []


def noise_remarks(comparison, rounds):
    noisy = comparison.noisy()
    remarks = []
    if rounds < 5:
        remarks.append(f"{rounds} rounds are too few for a verdict; take 5 or more.")
    if noisy:
        remarks.append(f"Noise above {comparison.threshold * 100:.0f} % in {len(noisy)} of {len(comparison.chosen)} "
                       f"workloads: {', '.join(noisy)}.")
    if len(noisy) * 3 > len(comparison.chosen):
        remarks.append("The machine was too noisy to tell; stop what else runs on it, or take more rounds.")
    return remarks


def text(comparison, machine, rounds, remarks):
    lines = [f"{machine['cpu']}, {machine['cpus']} processors, Linux {machine['kernel']}, huge pages "
             f"{machine['huge_pages']}, {machine['date']}", ""]
    sections = [
        ("Time, median" + (" and half the spread" if rounds > 1 else "") + f" of {rounds} rounds",
         absolute_table(comparison, clock_of, "seconds", 1, True)),
        ("Time over the best peer's", ratio_table(comparison, clock_of, True)),
        ("Peak RSS", absolute_table(comparison, peak_of, "MiB", MEBI, False)),
        ("Peak RSS over the lowest peer's", ratio_table(comparison, peak_of, False)),
        ("RSS after idling, everything freed", absolute_table(comparison, idle_of, "MiB", MEBI, False)),
        ("RSS after idling over the lowest peer's", ratio_table(comparison, idle_of, False)),
        ("Other figures (nanoseconds for calls, bytes for memory)", others_table(comparison)),
    ]
    if comparison.subject == "hakmem":
        sections.append(("Goals", goals_table(comparison)))
    for title, content in sections:
        if content:
            lines += [title, *content, ""]
    for workload, failures in comparison.results.failures.items():
        lines += [f"{workload} failed under {name}: {reason}" for name, reason in failures.items()]
    lines += remarks + noise_remarks(comparison, rounds)
    return "\n".join(lines).rstrip() + "\n"


# ---- JSON ------------------------------------------------------------------------------------------------------------

def read_first(path, key=None):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                if key is None:
                    return line.strip()
                if line.startswith(key):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return "unknown"


def describe_machine():
    huge = read_first("/sys/kernel/mm/transparent_hugepage/enabled")
    return {
        "cpu": read_first("/proc/cpuinfo", "model name"),
        "cpus": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()),
        "huge_pages": huge[huge.find("[") + 1:huge.find("]")] if "[" in huge else huge,
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def save_json(path, comparison, machine, contestants, rounds, quick):
    results = comparison.results
    document = {
        "format": 1, "machine": machine, "rounds": rounds, "quick": quick, "subject": comparison.subject,
        "allocators": {allocator.name: allocator.path for allocator in contestants},
        "workloads": [{
            "name": workload.name, "about": workload.about, "clock": workload.clock,
            "values": results.values.get(workload.name, {}),
            "failures": results.failures.get(workload.name, {}),
            "best_peer": comparison.best_peer(workload, workload.clock),
            "time_ratio": comparison.ratio(workload, workload.clock),
            "peak_rss_ratio": comparison.ratio(workload, "peak_rss"),
            "noise": comparison.noise(workload, workload.clock),
            "verdict": comparison.verdict(workload, workload.clock),
        } for workload in comparison.chosen],
        "geometric_mean": {"time": comparison.mean(clock_of), "peak_rss": comparison.mean(peak_of),
                           "idle_rss": comparison.mean(idle_of)},
        "goals": [{"goal": goal, "at_most": limit, "reached": value} for goal, limit, value in goal_rows(comparison)],
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.write("\n")
