# SPDX-License-Identifier: MIT
"""What bounds the program: a budget of its cycles, and eight cases with their thresholds.

The original analysis read single rates (IPC, cache-miss rate) and a ratio of shares.  Rates are not costs: 2.38 % of
branches mispredicted is "good" and may be a quarter of all cycles; 49.57 % of iTLB loads missed is "high" and may be
nothing.  So every cause is first turned into cycles, by a cost per event that no current processor is far from, and
cases are decided on their share of all cycles.  The costs are ranges, and so are the shares.

A case has required indicators, which all must hold, and supporting ones, which only raise or lower the confidence.  An
indicator that was not measured is unknown, not false: a case with an unknown required indicator stays open.
"""

from dataclasses import dataclass, field

from .figures import percent, ratio, seconds, significant

# Cycles per event, least and most.  Retiring is the reciprocal of the width: 6 instructions a cycle at best on current
# cores, 4 in code that is good; a misprediction costs the refill of the pipeline; a miss of L1 that hits L2 is mostly
# hidden by out-of-order execution, one that goes to memory mostly not.
COSTS = {
    "retiring": (1 / 6, 1 / 4),
    "misprediction": (13, 20),
    "L1 miss": (2, 8),
    "memory": (40, 200),
    "dTLB miss": (10, 40),
    "L1i miss": (5, 20),
    "iTLB miss": (20, 60),
}

# name: (value, unit, why this value).  Printed in every report.
THRESHOLDS = {
    "allocator share": (0.10, "share", "below it even an allocator that costs nothing saves less than a tenth"),
    "high IPC": (2.0, "per cycle", "a core that retires this many is busy, not waiting"),
    "low IPC": (1.5, "per cycle", "a core that waits for stores, dependencies or memory retires fewer"),
    "retiring share": (0.40, "share", "the cycles that the instructions themselves need"),
    "instructions per operation": (100, "count", "lean allocators with the caller's loop need fewer"),
    "misprediction share": (0.15, "share", "cycles lost to mispredicted branches"),
    "mispredictions per 1000 instructions": (3.0, "count", "below 3 prediction is not what sets a program apart"),
    "mispredictions per operation": (0.5, "count", "one in two operations starts anew"),
    "unexplained share": (0.35, "share", "cycles that neither instructions nor mispredictions nor misses explain"),
    "miss share": (0.20, "share", "cycles lost to data cache and TLB misses"),
    "memory misses per 1000 instructions": (1.0, "count", "one wait for memory in 1000 instructions"),
    "cache-miss rate": (0.05, "share", "of the references; the original's threshold"),
    "time/miss ratio": (5.0, "ratio", "hot functions whose misses do not explain their time"),
    "front-end share": (0.10, "share", "cycles lost to instruction cache and iTLB misses"),
    "front-end misses per 1000 instructions": (5.0, "count", "L1i misses; iTLB misses count twentyfold"),
    "kernel share": (0.20, "share", "of the processor time"),
    "page-work share": (0.10, "share", "of the processor time: faults, clearing and freeing of pages"),
    "lock share": (0.10, "share", "of the time in functions that lock, wait and wake"),
    "switches per second": (1000, "count", "voluntary switches in futex calls: threads that wait for one another"),
}

NEARLY_ALL = 0.95  # of the time in a table of functions: perf rounds, and people leave out the least of them
LEAST_CONFIDENCE = 0.30  # below it the verdict is "undecided", whatever the indicators say

PAGE_FAULT_SECONDS = (0.25e-6, 1.0e-6)
ALLOCATION_SECONDS = (5e-9, 40e-9)  # of one call: from the fast path of a good allocator to glibc's slow cases

CASES = {
    "not-allocator": "not allocator bound",
    "instructions": "instruction bound",
    "mispredictions": "branch-misprediction bound",
    "store-dependency": "store or dependency bound",
    "misses": "miss bound",
    "instruction-cache": "instruction-cache bound",
    "page-work": "kernel page-work bound",
    "locks": "lock or cross-thread bound",
    "undecided": "undecided",
}


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
    share: tuple = None  # low, middle, high share of the cycles (or of the time, for the kernel and for locks)
    why: str = ""

    @property
    def title(self):
        return CASES[self.id]

    @property
    def state(self):
        """holds, fails or open"""
        required = [i.holds for i in self.indicators if i.required]
        if False in required:
            return "fails"
        return "open" if None in required or not required else "holds"


@dataclass
class Verdict:
    case: str
    also: list
    confidence: float
    reasons: list  # (factor, text): what the confidence was multiplied by
    cases: list
    budget: list
    text: str
    notes: list = field(default_factory=list)

    @property
    def level(self):
        return "high" if self.confidence >= 0.75 else "medium" if self.confidence >= 0.5 else "low"


# ---- the budget --------------------------------------------------------------------------------------------------


def budget(e):
    """[(cause, low, middle, high)]: shares of all cycles; the last is what no cause explains.  [] without cycles."""
    if not e.cycles or not e.instructions:
        return []
    beyond_l1 = None if e.l1d_misses is None else max(0, e.l1d_misses - (e.cache_misses or 0))
    causes = (
        ("instructions", (("retiring", e.instructions),)),
        ("mispredictions", (("misprediction", e.branch_misses),)),
        ("data misses", (("L1 miss", beyond_l1), ("memory", e.cache_misses), ("dTLB miss", e.dtlb_misses))),
        ("instruction fetch", (("L1i miss", e.l1i_misses), ("iTLB miss", e.itlb_misses))),
    )
    result = []
    for cause, parts in causes:
        known = [(COSTS[cost], events) for cost, events in parts if events is not None]
        if known:
            low = sum(cost[0] * events for cost, events in known) / e.cycles
            high = sum(cost[1] * events for cost, events in known) / e.cycles
            if cause == "instructions":
                middle = e.instructions / 5 / e.cycles
            else:
                middle = (low + high) / 2
            result.append((cause, low, middle, high))
    low = max(0.0, 1 - sum(r[3] for r in result))
    high = max(0.0, 1 - sum(r[1] for r in result))
    middle = min(high, max(low, 1 - sum(r[2] for r in result)))
    result.append(("unexplained", low, middle, high))
    return result


def _share(parts, cause):
    return next((r[1:] for r in parts if r[0] == cause), None)


def _middle(parts, cause):
    share = _share(parts, cause)
    return share[1] if share else None


# ---- the cases ---------------------------------------------------------------------------------------------------


def _indicator(name, relation, value, required=True, note="", threshold=None, simulated=False):
    limit, unit, _ = THRESHOLDS[threshold or name]
    return Indicator(name, relation, limit, unit, value, required, note, simulated)


def allocator_time(e):
    """(share, note): the share of the time inside the allocator, by function or else by the number of calls."""
    if e.allocator_share is not None:
        if e.estimated_from:
            return e.allocator_share, f"estimated from {e.estimated_from}; sum over its functions"
        return e.allocator_share, "sum over its functions"
    if e.operations and e.cpu:
        low, high = (s * e.operations / e.cpu for s in ALLOCATION_SECONDS)
        limit = THRESHOLDS["allocator share"][0]
        note = f"estimated: {significant(e.operations)} calls of 5 to 40 ns in {seconds(e.cpu)} of processor time"
        if high < limit:
            return high, note
        if low >= limit:
            return min(1.0, low), note
    return None, "needs perf record, callgrind, or a number of calls that leaves no doubt"


def page_work(e):
    """(share, note): the share of the time that page faults and the like take."""
    if e.page_work_share is not None:
        return e.page_work_share, "sum over the kernel's functions for pages"
    if e.page_faults is not None and e.cpu:
        middle = sum(PAGE_FAULT_SECONDS) / 2 * e.page_faults / e.cpu
        return (
            min(middle, e.kernel_time if e.kernel_time is not None else 1.0),
            f"estimated: {significant(e.page_faults)} page faults of 0.25 to 1 µs",
        )
    if e.kernel_time is not None:
        return min(e.kernel_time, 1.0), "at most the whole kernel time"
    return None, ""


def _simulated(e, *names):
    return any(name in e.simulated for name in names)


def examine(e):
    """All cases with their indicators, and the budget they stand on."""
    parts = budget(e)
    rate = ratio(e.cache_misses, e.cache_references)
    ipc_simulated = _simulated(e, "cycles", "instructions")
    share, share_note = allocator_time(e)
    pages, pages_note = page_work(e)
    kernel = e.kernel_time
    misses = _middle(parts, "data misses")
    front = _middle(parts, "instruction fetch")
    front_misses = None
    if e.l1i_misses is not None or e.itlb_misses is not None:
        front_misses = e.per_kilo_instruction((e.l1i_misses or 0) + 20 * (e.itlb_misses or 0))
    hot = min(e.hot_ratios) if e.hot_ratios else None
    branches_simulated = _simulated(e, "branch_misses", "cycles")
    misses_simulated = _simulated(e, "l1d_misses", "cache_misses", "cycles")

    def low_ipc():
        return _indicator("instructions per cycle", "<", e.ipc, threshold="low IPC", simulated=ipc_simulated)

    cases = [
        Case(
            "not-allocator",
            [
                _indicator(
                    "time inside the allocator",
                    "<",
                    share,
                    note=share_note,
                    threshold="allocator share",
                    simulated=bool(e.estimated_from),
                ),
                _indicator("kernel page work", "<", pages, note=pages_note, threshold="page-work share"),
                _indicator("time in locks and waits", "<", e.lock_share, required=False, threshold="lock share"),
            ],
        ),
        Case(
            "instructions",
            [
                _indicator("instructions per cycle", ">=", e.ipc, threshold="high IPC", simulated=ipc_simulated),
                _indicator(
                    "cycles that the instructions need",
                    ">=",
                    _middle(parts, "instructions"),
                    threshold="retiring share",
                    simulated=ipc_simulated,
                ),
                _indicator(
                    "instructions per operation",
                    ">=",
                    e.per_operation(e.instructions),
                    required=False,
                    note="of the whole program, its own loop included",
                    simulated=_simulated(e, "instructions"),
                ),
            ],
            _share(parts, "instructions"),
        ),
        Case(
            "mispredictions",
            [
                _indicator(
                    "cycles lost to mispredictions",
                    ">=",
                    _middle(parts, "mispredictions"),
                    threshold="misprediction share",
                    simulated=branches_simulated,
                ),
                _indicator(
                    "mispredictions per 1000 instructions",
                    ">=",
                    e.per_kilo_instruction(e.branch_misses),
                    simulated=branches_simulated,
                ),
                _indicator(
                    "mispredictions per operation",
                    ">=",
                    e.per_operation(e.branch_misses),
                    required=False,
                    simulated=branches_simulated,
                ),
            ],
            _share(parts, "mispredictions"),
        ),
        Case(
            "store-dependency",
            [
                low_ipc(),
                _indicator(
                    "cycles that nothing else explains",
                    ">=",
                    _middle(parts, "unexplained"),
                    threshold="unexplained share",
                    simulated=ipc_simulated or misses_simulated,
                ),
                # By elimination: nothing that shows itself may be large enough to be the cause.
                _indicator(
                    "cycles lost to data misses", "<", misses, threshold="miss share", simulated=misses_simulated
                ),
                _indicator(
                    "cycles lost to mispredictions",
                    "<",
                    _middle(parts, "mispredictions"),
                    threshold="misprediction share",
                    simulated=branches_simulated,
                ),
                _indicator(
                    "cycles lost to instruction fetch",
                    "<",
                    front,
                    required=front is not None,
                    threshold="front-end share",
                    simulated=_simulated(e, "l1i_misses", "cycles"),
                ),
                _indicator(
                    "processor time in the kernel", "<", kernel, required=kernel is not None, threshold="kernel share"
                ),
                _indicator(
                    "time in locks and waits",
                    "<",
                    e.lock_share,
                    required=e.lock_share is not None,
                    threshold="lock share",
                ),
                _indicator(
                    "lowest time/miss ratio of a hot function",
                    ">=",
                    hot,
                    required=False,
                    threshold="time/miss ratio",
                    note="says what the time is not, not what it is",
                ),
            ],
            _share(parts, "unexplained"),
        ),
        Case(
            "misses",
            [
                low_ipc(),
                _indicator(
                    "cycles lost to data misses", ">=", misses, threshold="miss share", simulated=misses_simulated
                ),
                _indicator(
                    "misses to memory per 1000 instructions",
                    ">=",
                    e.per_kilo_instruction(e.cache_misses),
                    required=False,
                    threshold="memory misses per 1000 instructions",
                    simulated=misses_simulated,
                ),
                _indicator("cache-miss rate", ">=", rate, required=False, simulated=misses_simulated),
            ],
            _share(parts, "data misses"),
        ),
        Case(
            "instruction-cache",
            [
                _indicator("instructions per cycle", "<", e.ipc, threshold="high IPC", simulated=ipc_simulated),
                _indicator(
                    "cycles lost to instruction fetch",
                    ">=",
                    front,
                    threshold="front-end share",
                    simulated=_simulated(e, "l1i_misses", "cycles"),
                    note="" if e.l1i_misses is not None or front is None else "by the iTLB alone",
                ),
                _indicator(
                    "front-end misses per 1000 instructions", ">=", front_misses, simulated=_simulated(e, "l1i_misses")
                ),
            ],
            _share(parts, "instruction fetch"),
        ),
        Case(
            "page-work",
            [
                _indicator("processor time in the kernel", ">=", kernel, threshold="kernel share"),
                _indicator("page work", ">=", pages, note=pages_note, threshold="page-work share"),
            ],
            None if kernel is None else (pages or 0, min(kernel, max(pages or 0, kernel / 2)), kernel),
        ),
        _locks(e),
    ]
    for case in cases:
        case.why = _why(case, e)
    return cases, parts


def _locks(e):
    """Either sign is enough: time spent in locks shows as functions, time spent waiting as switches.

    A thread that waits for another gives its processor up in a futex call; who waits for a disk or a client does not.
    """
    waiting = e.voluntary_switches
    if waiting is not None and e.futex_calls is not None:
        waiting = min(waiting, e.futex_calls)
    switches = ratio(waiting, e.wall)
    limit_share, limit_rate = THRESHOLDS["lock share"][0], THRESHOLDS["switches per second"][0]
    by_functions = None if e.lock_share is None else e.lock_share >= limit_share
    busy = ratio(e.cpu, e.wall)
    waits = None if switches is None else switches >= limit_rate
    futexes = ratio(e.futex_calls, e.operations)
    indicators = [
        _indicator(
            "time in locks and waits",
            ">=",
            e.lock_share,
            required=not waits,
            threshold="lock share",
            note="sum over functions",
        ),
        _indicator(
            "waits per second",
            ">=",
            switches,
            required=not by_functions,
            threshold="switches per second",
            note=(
                "voluntary switches"
                + (", no more than futex calls" if e.futex_calls is not None else "")
                + ("" if busy is None else f"; {significant(busy)} processors busy")
            ),
        ),
    ]
    if by_functions is False and switches is None:
        indicators[1].required = False
    if waits is False and e.lock_share is None:
        indicators[0].required = False
    if futexes is not None:
        indicators.append(Indicator("futex calls per operation", ">=", 0.01, "count", futexes, False))
    share = e.lock_share or 0
    if busy is not None and waits:
        share = max(share, 1 - min(1.0, busy))
    return Case("locks", indicators, (share * 0.8, share, min(1.0, share * 1.2)) if share else None)


def _why(case, e):
    """One sentence on the indicator that decided against the case."""
    if case.state == "holds":
        return "all required indicators hold"
    if case.state == "open":
        missing = [i.name for i in case.indicators if i.required and i.value is None]
        return f"not measured: {', '.join(missing)}"
    failed = next(i for i in case.indicators if i.required and i.holds is False)
    word = "is not below" if failed.relation == "<" else "does not reach"
    text = f"{failed.name}: {failed.text(failed.value)} {word} {failed.text(failed.threshold)}"
    if case.id == "store-dependency" and failed.name == "instructions per cycle" and e.hot_ratios:
        text += (
            "; high time/miss ratios only say that cache misses are not the cause, and a core that waits for "
            "stores does not retire this many instructions"
        )
    return text


# ---- the decision ------------------------------------------------------------------------------------------------


def judge(e):
    cases, parts = examine(e)
    holding = [c for c in cases if c.state == "holds"]
    not_allocator = next((c for c in holding if c.id == "not-allocator"), None)
    # Waiting takes a share of the elapsed time, everything else one of the processor time.
    waiting = any(c.id == "locks" and c.indicators[1].holds for c in holding)
    busy = min(1.0, ratio(e.cpu, e.wall) or 1.0) if waiting else 1.0
    bounds = sorted(
        (c for c in holding if c.id != "not-allocator"),
        key=lambda c: -(c.share[1] if c.share else 0) * (1.0 if c.id == "locks" else busy),
    )
    notes = []
    if parts and sum(r[1] for r in parts[:-1]) > 1.05:
        notes.append(
            "The causes add up to more than all cycles: the costs per event, the simulation or the assumed clock "
            "do not fit this processor, and shares are upper bounds."
        )
    if not_allocator:
        case, also = "not-allocator", [c.id for c in bounds]
        first, second = not_allocator, None
    elif bounds:
        case, also = bounds[0].id, [c.id for c in bounds[1:]]
        first, second = bounds[0], bounds[1] if len(bounds) > 1 else None
    else:
        case, also, first, second = "undecided", [], None, None
    confidence, reasons = _confidence(e, first, second, notes)
    text = _text(case, also, e, cases, parts)
    if case != "undecided" and confidence < LEAST_CONFIDENCE:
        text = f'The indicators point to "{CASES[case]}", but the evidence is too weak to say so. ' + text
        case, also = "undecided", []
    return Verdict(case, also, confidence, reasons, cases, parts, text, notes)


def _confidence(e, first, second, notes):
    """Starts at 0.95, and every weakness of the evidence takes its part."""
    reasons = []

    def weaken(factor, text):
        if factor < 1:
            reasons.append((factor, text))

    if first is None:
        return 0.0, [(0.0, "no case has all of its indicators")]
    if e.samples is not None and (first.id in ("not-allocator", "locks") or e.hot_ratios):
        weaken(
            0.6 if e.samples < 100 else 0.85 if e.samples < 400 else 0.95 if e.samples < 1000 else 1,
            f"{e.samples} samples of the time",
        )
    if e.listed is not None and e.listed < NEARLY_ALL:
        weaken(e.listed, f"the table of functions accounts for {percent(e.listed)} of the time only")
    if e.lowest_running is not None:
        run = e.lowest_running
        weaken(
            0.6 if run < 20 else 0.85 if run < 40 else 0.95 if run < 80 else 1,
            f"counters were counting {run:.1f} % of the time only (multiplexed), the rest is scaled",
        )
    if e.spread is None:
        weaken(0.85, "one run: stability unknown")
    else:
        weaken(
            1 if e.spread <= 0.02 else 0.95 if e.spread <= 0.05 else 0.85 if e.spread <= 0.10 else 0.65,
            f"the processor time of the runs differs by ±{percent(e.spread)}",
        )
    if e.cpu is not None:
        weaken(
            0.5 if e.cpu < 0.02 else 0.75 if e.cpu < 0.1 else 1,
            f"{seconds(e.cpu)} of processor time: too short to measure well, and mostly the program's start",
        )
    if any(i.simulated for i in first.indicators):
        weaken(
            0.8,
            "simulated caches and branch prediction" + (", cycles from the clock" if "cycles" in e.simulated else ""),
        )
    if first.id == "not-allocator" and not e.estimated_whole:
        weaken(0.6, "only the program's beginning was simulated")
    if second and first.share and second.share and first.share[1] < 1.5 * second.share[1]:
        weaken(0.75 if first.share[1] < 1.2 * second.share[1] else 0.9, f"{second.title} is close behind")
    against = [i.name for i in first.indicators if not i.required and i.holds is False]
    if against:
        weaken(0.85, f"speaks against it: {', '.join(against)}")
    unknown = [i.name for i in first.indicators if i.value is None]
    if unknown:
        weaken(0.9 ** len(unknown), f"not measured: {', '.join(unknown)}")
    if notes:
        weaken(0.7, "the causes add up to more than all cycles")
    confidence = 0.95
    for factor, _ in reasons:
        confidence *= factor
    return round(confidence, 2), reasons


def _range(share):
    if share is None:
        return "an unknown part of the cycles"
    return f"{percent(share[1], 0)} of the cycles ({percent(share[0], 0)} to {percent(share[2], 0)})"


def _text(case, also, e, cases, parts):
    """The verdict in two or three sentences."""
    by_id = {c.id: c for c in cases}
    if case == "not-allocator":
        share = by_id[case].indicators[0]
        if e.estimated_from:
            text = f"By an estimate from {e.estimated_from}, {percent(share.value)} of the time is spent"
        elif e.allocator_share is None:
            text = f"By an estimate from the number of its calls, at most {percent(share.value)} of the time is spent"
        else:
            text = f"{percent(share.value)} of the time is spent"
        text += " inside the allocator: a different one cannot change much."
        if also:
            text += f" The program itself is {' and '.join(CASES[c] for c in also)}."
        return text
    if case == "undecided":
        open_cases = [c for c in cases if c.state == "open" and c.id != "not-allocator"]
        if not parts:
            text = "Neither cycles nor instructions were measured, so most cases cannot be decided."
        elif open_cases:
            text = "No case has all of its indicators; still open: " + ", ".join(c.title for c in open_cases) + "."
        else:
            text = "No case has all of its indicators: the cycles divide among several causes, none of which leads."
        return text
    sentences = {
        "instructions": lambda: f"The processor is kept busy: the {_per_operation(e, e.instructions, 'instructions')}"
        f"need {_range(by_id[case].share)} at {significant(e.ipc)} instructions per cycle.",
        "mispredictions": lambda: f"{_per_operation(e, e.branch_misses, 'mispredicted branches').capitalize()}"
        f"cost {_range(by_id[case].share)}.",
        "store-dependency": lambda: f"{significant(e.ipc)} instructions per cycle, and neither instructions, "
        f"mispredictions nor misses explain {_range(by_id[case].share)}: it waits for stores "
        "or for results of instructions before.",
        "misses": lambda: f"Data cache and TLB misses cost {_range(by_id[case].share)}.",
        "instruction-cache": lambda: f"Fetching instructions costs {_range(by_id[case].share)}.",
        "page-work": lambda: f"{percent(e.kernel_time)} of the processor time is the kernel's, mostly for pages.",
        "locks": lambda: "Threads wait for one another"
        + (f": {percent(by_id[case].share[1])} of the time." if by_id[case].share else "."),
    }
    text = sentences[case]()
    for other in also:
        share = by_id[other].share
        text += f" Also {CASES[other]}" + (
            f": {_range(share)}." if share and other not in ("page-work", "locks") else "."
        )
    return text


def _per_operation(e, value, what):
    each = e.per_operation(value)
    return f"{what} " if each is None else f"{significant(each)} {what} per operation "
