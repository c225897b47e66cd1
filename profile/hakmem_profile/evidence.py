# SPDX-License-Identifier: MIT
"""All measurements of one program under one allocator, in one object: the only thing that the verdict looks at.

None means "not measured", never zero.  Counts that were simulated rather than measured are named in `simulated`; the
verdict is more careful with them, and every report says so beside the figure.
"""

from dataclasses import dataclass, field

from .figures import ratio


@dataclass
class Evidence:
    allocator: str = "libhakmem"
    # Time, in seconds: medians over the runs; the spread is that of the processor time.
    wall: float = None
    user: float = None
    sys: float = None
    spread: float = None
    runs: int = 0
    # Counts of the whole program.
    cycles: float = None
    instructions: float = None
    branches: float = None
    branch_misses: float = None
    cache_references: float = None
    cache_misses: float = None  # what had to come from memory
    l1d_loads: float = None
    l1d_misses: float = None
    l1i_misses: float = None
    llc_loads: float = None
    llc_misses: float = None
    dtlb_loads: float = None
    dtlb_misses: float = None
    itlb_loads: float = None
    itlb_misses: float = None
    simulated: set = field(default_factory=set)
    # What the functions' shares of the time were estimated from; None: they were measured.
    estimated_from: str = None
    estimated_whole: bool = True  # whether the estimate is from all of the program
    user_only: bool = False  # the counters left the kernel out
    lowest_running: float = None  # percent of the time in which each multiplexed counter was counting, at least
    # What the program does.
    operations: float = None
    operations_source: str = None
    system_calls: float = None
    memory_calls: float = None
    futex_calls: float = None
    page_faults: float = None
    voluntary_switches: float = None
    processors: int = None
    # Shares of the time by function, fractions of 1.
    allocator_share: float = None
    kernel_share: float = None
    page_work_share: float = None
    lock_share: float = None
    samples: int = None
    listed: float = None  # the share of the time that the table of functions has; None: all of it
    miss_samples: int = None
    # Where the events of a kind happen: {"mispredictions": {"allocator": share, "first": name, "first_share": ..}}
    places: dict = field(default_factory=dict)
    hot_ratios: list = field(default_factory=list)  # time/miss ratios of functions with 2 % of the time or more
    # The other allocators: dicts with name, wall, instructions, operations.
    peers: list = field(default_factory=list)

    @property
    def cpu(self):
        return None if self.user is None or self.sys is None else self.user + self.sys

    @property
    def ipc(self):
        return ratio(self.instructions, self.cycles)

    def per_operation(self, value):
        return ratio(value, self.operations)

    def per_kilo_instruction(self, value):
        rate = ratio(value, self.instructions)
        return None if rate is None else rate * 1000

    @property
    def kernel_time(self):
        """The kernel's share of the processor time: by the clock if the time is known, else by samples."""
        by_clock = ratio(self.sys, self.cpu)
        return self.kernel_share if by_clock is None else by_clock


# Event names of perf, by the field that they fill; the first that was counted is taken.
PERF_EVENTS = {
    "cycles": ("cycles", "cpu-cycles"),
    "instructions": ("instructions",),
    "branches": ("branches", "branch-instructions"),
    "branch_misses": ("branch-misses",),
    "cache_references": ("cache-references",),
    "cache_misses": ("cache-misses",),
    "l1d_loads": ("L1-dcache-loads",),
    "l1d_misses": ("L1-dcache-load-misses",),
    "l1i_misses": ("L1-icache-load-misses",),
    "llc_loads": ("LLC-loads",),
    "llc_misses": ("LLC-load-misses",),
    "dtlb_loads": ("dTLB-loads",),
    "dtlb_misses": ("dTLB-load-misses",),
    "itlb_loads": ("iTLB-loads",),
    "itlb_misses": ("iTLB-load-misses",),
}


def add_perf_stat(evidence, stat):
    """Fills the counts from perfstat.Stat."""
    for name, events in PERF_EVENTS.items():
        value = stat.value(*events)
        if value is not None:
            setattr(evidence, name, value)
            evidence.simulated.discard(name)
    counted = [e for e in stat.events.values() if e["value"] is not None]
    evidence.user_only = bool(counted) and all(e["user_only"] for e in counted)
    evidence.lowest_running = stat.lowest_running()
    for name, value in (
        ("page_faults", stat.value("page-faults", "minor-faults")),
        ("voluntary_switches", stat.value("context-switches")),
    ):
        if value is not None and getattr(evidence, name) is None:
            setattr(evidence, name, value)


def add_stat_times(evidence, stat):
    """Takes the times of perf stat, where no other run was timed."""
    evidence.wall, evidence.user, evidence.sys = stat.elapsed, stat.user, stat.sys
    evidence.runs = stat.runs


# Fields filled from callgrind: sums of its events.
SIMULATED_EVENTS = {
    "instructions": ("Ir",),
    "branches": ("Bc", "Bi"),
    "branch_misses": ("Bcm", "Bim"),
    "l1d_loads": ("Dr", "Dw"),
    "l1d_misses": ("D1mr", "D1mw"),
    "l1i_misses": ("I1mr",),
    "cache_references": ("I1mr", "D1mr", "D1mw"),
    "cache_misses": ("ILmr", "DLmr", "DLmw"),
}


def add_simulation(evidence, costs):
    """Fills the counts that no real counter has filled from callgrind.Costs."""
    for name, events in SIMULATED_EVENTS.items():
        value = costs.sum(*events)
        if value is not None and getattr(evidence, name) is None:
            setattr(evidence, name, value)
            evidence.simulated.add(name)


def estimate_cycles(evidence, clock):
    """Cycles, where no counter gave them: the user time times the clock."""
    if evidence.cycles is None and evidence.user and clock:
        evidence.cycles = evidence.user * clock
        evidence.simulated.add("cycles")


def add_places(evidence, tables):
    """`tables`: {kind: (rows, shares)} of the function tables by events other than time."""
    for kind, (rows, shares) in tables.items():
        if rows:
            evidence.places[kind] = {
                "allocator": shares["allocator"],
                "first": rows[0]["name"],
                "first_share": rows[0]["share"],
            }


def add_functions(evidence, time_shares, samples, joined):
    evidence.allocator_share = time_shares["allocator"]
    evidence.kernel_share = time_shares["kernel"]
    evidence.page_work_share = time_shares["page work"]
    evidence.lock_share = time_shares["locks"]
    evidence.samples = samples
    evidence.hot_ratios = [row["ratio"] for row in joined if row["time_share"] >= 0.02 and row["ratio"] is not None]
