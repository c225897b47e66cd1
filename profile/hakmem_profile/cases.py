# SPDX-License-Identifier: MIT
"""The cases: what may bound a program, and the indicators that tell.

CASES at the end is the table.  An indicator compares a figure with one of THRESHOLDS.  A case holds if all its required
indicators hold; supporting ones only raise or lower the confidence.  An indicator that was not measured is unknown, not
false: a case with an unknown required indicator stays open.
"""

from dataclasses import dataclass
from typing import NamedTuple

from .budget import Share
from .figures import percent, ratio, seconds, significant


class Threshold(NamedTuple):
    value: float
    unit: str
    why: str


# Each report prints the thresholds with their reasons.
THRESHOLDS = {
    "allocator share": Threshold(
        0.10, "share", "below it even an allocator that costs nothing saves less than a tenth"
    ),
    "high IPC": Threshold(2.0, "per cycle", "a core that retires this many is busy, not waiting"),
    "low IPC": Threshold(1.5, "per cycle", "a core that waits for stores, dependencies or memory retires fewer"),
    "retiring share": Threshold(0.40, "share", "the cycles that the instructions themselves need"),
    "instructions per operation": Threshold(100, "count", "lean allocators with the caller's loop need fewer"),
    "misprediction share": Threshold(0.15, "share", "cycles lost to mispredicted branches"),
    "mispredictions per 1000 instructions": Threshold(3.0, "count", "most programs have fewer"),
    "mispredictions per operation": Threshold(0.5, "count", "one in two operations refills the pipeline"),
    "unexplained share": Threshold(
        0.35, "share", "cycles that neither instructions nor mispredictions nor misses explain"
    ),
    "miss share": Threshold(0.20, "share", "cycles lost to data cache and TLB misses"),
    "memory misses per 1000 instructions": Threshold(1.0, "count", "one wait for memory in 1000 instructions"),
    "cache-miss rate": Threshold(0.05, "share", "of the references; the original's threshold"),
    "time/miss ratio": Threshold(5.0, "ratio", "hot functions whose misses do not explain their time"),
    "front-end share": Threshold(0.10, "share", "cycles lost to instruction cache and iTLB misses"),
    "front-end misses per 1000 instructions": Threshold(5.0, "count", "L1i misses; iTLB misses count twentyfold"),
    "kernel share": Threshold(0.20, "share", "of the processor time"),
    "page-work share": Threshold(0.10, "share", "of the processor time: faults, clearing and freeing of pages"),
    "lock share": Threshold(0.10, "share", "of the time in functions that lock, wait and wake"),
    "switches per second": Threshold(
        1000, "count", "voluntary switches in futex calls: threads that wait for one another"
    ),
}

PAGE_FAULT_SECONDS = (0.25e-6, 1.0e-6)
ALLOCATION_SECONDS = (5e-9, 40e-9)  # of one call: from the fast path of a good allocator to glibc's slow paths
ITLB_MISS_WEIGHT = 20  # L1i misses that cost as much as one iTLB miss


# Names of indicators that other modules look up.
ALLOCATOR_TIME = "time inside the allocator"
WAITS = "waits per second"


@dataclass
class Indicator:
    name: str
    relation: str  # ">=" or "<"
    threshold: float
    unit: str
    value: float  # None: not measured
    required: bool = True
    note: str = ""
    simulated: bool = False

    @property
    def holds(self):
        if self.value is None:
            return None
        return self.value >= self.threshold if self.relation == ">=" else self.value < self.threshold

    def text(self, value):
        if value is None:
            return "not measured"
        if self.unit == "share":
            return percent(value)
        return significant(value)


@dataclass
class Case:
    id: str
    indicators: list
    share: Share = None  # of the cycles; of the time, if the case is page work or locks
    why: str = ""

    @property
    def title(self):
        return CASES[self.id].title

    @property
    def state(self):
        """holds, fails or open"""
        required = [i.holds for i in self.indicators if i.required]
        if False in required:
            return "fails"
        return "open" if None in required or not required else "holds"

    def indicator(self, name):
        return next((i for i in self.indicators if i.name == name), None)


class Facts:
    """The evidence and its budget, and the figures that several indicators use."""

    def __init__(self, evidence, parts):
        self.evidence = evidence
        self.shares = {part.cause: part.share for part in parts}

    def middle(self, cause):
        share = self.shares.get(cause)
        return share.middle if share else None

    def simulated(self, *fields):
        return any(field in self.evidence.simulated for field in fields)

    @property
    def ipc_simulated(self):
        return self.simulated("cycles", "instructions")

    @property
    def branches_simulated(self):
        return self.simulated("branch_misses", "cycles")

    @property
    def misses_simulated(self):
        return self.simulated("l1d_misses", "cache_misses", "cycles")

    @property
    def waits(self):
        """Waits of threads for one another, per second.

        A thread that waits for another gives its processor up in a futex call; one that waits for a disk or a client
        does not.
        """
        waits = self.evidence.voluntary_switches
        if waits is not None and self.evidence.futex_calls is not None:
            waits = min(waits, self.evidence.futex_calls)
        return ratio(waits, self.evidence.wall)

    @property
    def many_waits(self):
        """Whether threads wait often; None if not measured."""
        return None if self.waits is None else self.waits >= THRESHOLDS["switches per second"].value

    @property
    def much_in_locks(self):
        """Whether locks take much of the time; None if not measured."""
        share = self.evidence.lock_share
        return None if share is None else share >= THRESHOLDS["lock share"].value

    @property
    def busy(self):
        """The number of processors that the program keeps busy, on average."""
        return ratio(self.evidence.cpu, self.evidence.wall)


def _indicator(name, relation, value, threshold=None, **more):
    limit = THRESHOLDS[threshold or name]
    return Indicator(name, relation, limit.value, limit.unit, value, **more)


# ---- time in the allocator ---------------------------------------------------------------------------------------


def allocator_time(evidence):
    """(share, note): the share of the time inside the allocator, by function or else by the number of calls."""
    if evidence.allocator_share is not None:
        note = "sum over its functions"
        if evidence.estimated_from:
            note = f"estimated from {evidence.estimated_from}; {note}"
        return evidence.allocator_share, note
    if evidence.operations and evidence.cpu:
        low, high = (cost * evidence.operations / evidence.cpu for cost in ALLOCATION_SECONDS)
        limit = THRESHOLDS["allocator share"].value
        note = (
            f"estimated: {significant(evidence.operations)} calls of 5 to 40 ns in {seconds(evidence.cpu)} of "
            "processor time"
        )
        if high < limit:
            return high, note
        if low >= limit:
            return min(1.0, low), note
    return None, "needs perf record, callgrind, or a number of calls that leaves no doubt"


def _little_in_allocator(facts):
    share, note = allocator_time(facts.evidence)
    simulated = bool(facts.evidence.estimated_from)
    return _indicator(ALLOCATOR_TIME, "<", share, "allocator share", note=note, simulated=simulated)


def _little_page_work(facts):
    share, note = page_work(facts.evidence)
    return _indicator("kernel page work", "<", share, "page-work share", note=note)


def _little_in_locks(facts):
    return _indicator("time in locks and waits", "<", facts.evidence.lock_share, "lock share", required=False)


# ---- instructions ------------------------------------------------------------------------------------------------


def _ipc(relation, threshold):
    return lambda facts: _indicator(
        "instructions per cycle", relation, facts.evidence.ipc, threshold, simulated=facts.ipc_simulated
    )


def _cycles_for_instructions(facts):
    share = facts.middle("instructions")
    name = "cycles that the instructions need"
    return _indicator(name, ">=", share, "retiring share", simulated=facts.ipc_simulated)


def _instructions_per_operation(facts):
    return _indicator(
        "instructions per operation",
        ">=",
        facts.evidence.per_operation(facts.evidence.instructions),
        required=False,
        note="of the whole program, its own loop included",
        simulated=facts.simulated("instructions"),
    )


# ---- mispredictions ----------------------------------------------------------------------------------------------


def _lost_to_mispredictions(relation):
    return lambda facts: _indicator(
        "cycles lost to mispredictions",
        relation,
        facts.middle("mispredictions"),
        "misprediction share",
        simulated=facts.branches_simulated,
    )


def _mispredictions_per_1000(facts):
    rate = facts.evidence.per_kilo_instruction(facts.evidence.branch_misses)
    return _indicator("mispredictions per 1000 instructions", ">=", rate, simulated=facts.branches_simulated)


def _mispredictions_per_operation(facts):
    rate = facts.evidence.per_operation(facts.evidence.branch_misses)
    simulated = facts.branches_simulated
    return _indicator("mispredictions per operation", ">=", rate, required=False, simulated=simulated)


# ---- stores and dependencies, by elimination ---------------------------------------------------------------------


def _much_unexplained(facts):
    share = facts.middle("unexplained")
    simulated = facts.ipc_simulated or facts.misses_simulated
    return _indicator("cycles that nothing else explains", ">=", share, "unexplained share", simulated=simulated)


def _little_lost_to_fetch(facts):
    share = facts.middle("instruction fetch")
    return _indicator(
        "cycles lost to instruction fetch",
        "<",
        share,
        "front-end share",
        required=share is not None,
        simulated=facts.simulated("l1i_misses", "cycles"),
    )


def _little_in_kernel(facts):
    share = facts.evidence.kernel_time
    return _indicator("processor time in the kernel", "<", share, "kernel share", required=share is not None)


def _little_in_locks_if_known(facts):
    share = facts.evidence.lock_share
    return _indicator("time in locks and waits", "<", share, "lock share", required=share is not None)


def _time_without_misses(facts):
    ratios = facts.evidence.hot_ratios
    return _indicator(
        "lowest time/miss ratio of a hot function",
        ">=",
        min(ratios) if ratios else None,
        "time/miss ratio",
        required=False,
        note="tells that misses are not the cause, but not what is",
    )


# ---- misses ------------------------------------------------------------------------------------------------------


def _lost_to_misses(relation):
    return lambda facts: _indicator(
        "cycles lost to data misses",
        relation,
        facts.middle("data misses"),
        "miss share",
        simulated=facts.misses_simulated,
    )


def _memory_misses_per_1000(facts):
    return _indicator(
        "misses to memory per 1000 instructions",
        ">=",
        facts.evidence.per_kilo_instruction(facts.evidence.cache_misses),
        "memory misses per 1000 instructions",
        required=False,
        simulated=facts.misses_simulated,
    )


def _cache_miss_rate(facts):
    rate = ratio(facts.evidence.cache_misses, facts.evidence.cache_references)
    return _indicator("cache-miss rate", ">=", rate, required=False, simulated=facts.misses_simulated)


# ---- instruction fetch -------------------------------------------------------------------------------------------


def _much_lost_to_fetch(facts):
    share = facts.middle("instruction fetch")
    only_itlb = share is not None and facts.evidence.l1i_misses is None
    return _indicator(
        "cycles lost to instruction fetch",
        ">=",
        share,
        "front-end share",
        note="by the iTLB alone" if only_itlb else "",
        simulated=facts.simulated("l1i_misses", "cycles"),
    )


def _fetch_misses_per_1000(facts):
    l1i, itlb = facts.evidence.l1i_misses, facts.evidence.itlb_misses
    rate = None
    if l1i is not None or itlb is not None:
        rate = facts.evidence.per_kilo_instruction((l1i or 0) + ITLB_MISS_WEIGHT * (itlb or 0))
    simulated = facts.simulated("l1i_misses")
    return _indicator("front-end misses per 1000 instructions", ">=", rate, simulated=simulated)


# ---- the kernel's page work --------------------------------------------------------------------------------------


def page_work(evidence):
    """(share, note): the share of the time that page faults and the like take."""
    if evidence.page_work_share is not None:
        return evidence.page_work_share, "sum over the kernel's functions for pages"
    kernel = evidence.kernel_time
    if evidence.page_faults is not None and evidence.cpu:
        share = sum(PAGE_FAULT_SECONDS) / 2 * evidence.page_faults / evidence.cpu
        note = f"estimated: {significant(evidence.page_faults)} page faults of 0.25 to 1 µs"
        return min(share, 1.0 if kernel is None else kernel), note
    if kernel is not None:
        return min(kernel, 1.0), "at most the whole kernel time"
    return None, ""


def _much_in_kernel(facts):
    return _indicator("processor time in the kernel", ">=", facts.evidence.kernel_time, "kernel share")


def _much_page_work(facts):
    share, note = page_work(facts.evidence)
    return _indicator("page work", ">=", share, "page-work share", note=note)


def _page_work_share(facts):
    kernel = facts.evidence.kernel_time
    if kernel is None:
        return None
    pages = page_work(facts.evidence)[0] or 0
    return Share(pages, min(kernel, max(pages, kernel / 2)), kernel)


# ---- locks -------------------------------------------------------------------------------------------------------

# Either sign is enough: time in locks shows as functions, time spent waiting shows as switches.  So each of the two is
# required only if the other one does not decide.


def _much_in_locks(facts):
    return _indicator(
        "time in locks and waits",
        ">=",
        facts.evidence.lock_share,
        "lock share",
        required=not facts.many_waits and not (facts.many_waits is False and facts.evidence.lock_share is None),
        note="sum over functions",
    )


def _many_waits(facts):
    note = "voluntary switches"
    if facts.evidence.futex_calls is not None:
        note += ", no more than futex calls"
    if facts.busy is not None:
        note += f"; {significant(facts.busy)} processors busy"
    return _indicator(
        WAITS,
        ">=",
        facts.waits,
        "switches per second",
        required=not facts.much_in_locks and not (facts.much_in_locks is False and facts.waits is None),
        note=note,
    )


def _futex_calls(facts):
    calls = ratio(facts.evidence.futex_calls, facts.evidence.operations)
    return None if calls is None else Indicator("futex calls per operation", ">=", 0.01, "count", calls, False)


def _lock_share(facts):
    share = facts.evidence.lock_share or 0
    if facts.busy is not None and facts.many_waits:
        share = max(share, 1 - min(1.0, facts.busy))
    return Share(share * 0.8, share, min(1.0, share * 1.2)) if share else None


# ---- the table ---------------------------------------------------------------------------------------------------


def _part(cause):
    """The share of a case that is one cause of the budget."""
    return lambda facts: facts.shares.get(cause)


class Definition(NamedTuple):
    """A case: functions of Facts that give its indicators, and one that gives its share."""

    title: str
    indicators: tuple = ()
    share: object = lambda facts: None


CASES = {
    "not-allocator": Definition(
        "not allocator bound",
        (_little_in_allocator, _little_page_work, _little_in_locks),
    ),
    "instructions": Definition(
        "instruction bound",
        (_ipc(">=", "high IPC"), _cycles_for_instructions, _instructions_per_operation),
        _part("instructions"),
    ),
    "mispredictions": Definition(
        "branch-misprediction bound",
        (_lost_to_mispredictions(">="), _mispredictions_per_1000, _mispredictions_per_operation),
        _part("mispredictions"),
    ),
    # By elimination: no cause that can be measured may be large enough.
    "store-dependency": Definition(
        "store or dependency bound",
        (
            _ipc("<", "low IPC"),
            _much_unexplained,
            _lost_to_misses("<"),
            _lost_to_mispredictions("<"),
            _little_lost_to_fetch,
            _little_in_kernel,
            _little_in_locks_if_known,
            _time_without_misses,
        ),
        _part("unexplained"),
    ),
    "misses": Definition(
        "miss bound",
        (_ipc("<", "low IPC"), _lost_to_misses(">="), _memory_misses_per_1000, _cache_miss_rate),
        _part("data misses"),
    ),
    "instruction-cache": Definition(
        "instruction-cache bound",
        (_ipc("<", "high IPC"), _much_lost_to_fetch, _fetch_misses_per_1000),
        _part("instruction fetch"),
    ),
    "page-work": Definition("kernel page-work bound", (_much_in_kernel, _much_page_work), _page_work_share),
    "locks": Definition("lock or cross-thread bound", (_much_in_locks, _many_waits, _futex_calls), _lock_share),
    # The verdict if no case holds; without indicators this is not examined.
    "undecided": Definition("undecided"),
}


def title(case):
    return CASES[case].title


def examine(evidence, parts):
    """All cases with their indicators; `parts` is the budget."""
    facts = Facts(evidence, parts)
    cases = []
    for name, definition in CASES.items():
        if definition.indicators:
            indicators = [indicator for make in definition.indicators if (indicator := make(facts)) is not None]
            case = Case(name, indicators, definition.share(facts))
            case.why = _why(case, evidence)
            cases.append(case)
    return cases


def _why(case, evidence):
    """One sentence on the indicator that decided against the case."""
    if case.state == "holds":
        return "all required indicators hold"
    if case.state == "open":
        missing = [i.name for i in case.indicators if i.required and i.value is None]
        return f"not measured: {', '.join(missing)}"
    failed = next(i for i in case.indicators if i.required and i.holds is False)
    word = "is not below" if failed.relation == "<" else "does not reach"
    text = f"{failed.name}: {failed.text(failed.value)} {word} {failed.text(failed.threshold)}"
    if case.id == "store-dependency" and failed.name == "instructions per cycle" and evidence.hot_ratios:
        text += (
            "; high time/miss ratios only say that cache misses are not the cause, and a core that waits for "
            "stores does not retire this many instructions"
        )
    return text
