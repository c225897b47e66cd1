# SPDX-License-Identifier: MIT
"""What to do about each case: a change or a knob that exists, and what it may gain where that can be computed.

A gain is an upper bound, and says from which share it comes.  Knobs of the allocator are named only as
far as this version of libhakmem has them; the rest are changes to the program or to how it is built and run.
"""

from .cases import ALLOCATOR_TIME
from .figures import percent, significant


def advise(evidence, verdict):
    """[{"case", "what", "gain"}], most useful first."""
    result = []
    for case in [verdict.case] + verdict.also:
        share = next((c.share for c in verdict.cases if c.id == case and c.share), None)
        for what, gain in ADVICE[case](evidence, share, verdict):
            result.append({"case": case, "what": what, "gain": gain})
    return result


def _up_to(value, text):
    return None if value is None else f"at most {percent(value, 0 if value >= 0.01 else 1)} of the time: {text}"


def _allocator_part(evidence, share, kind=None):
    """The part of a share of the cycles that lies in the allocator.

    The share divides as the events of this kind do or, if that is not known, as the time does.
    """
    inside = evidence.places[kind]["allocator"] if kind in evidence.places else evidence.allocator_share
    if share is None or inside is None:
        return None
    return share.middle * inside


def _best_peer(evidence):
    """The allocator compared with that needs the fewest instructions per operation."""
    peers = [p for p in evidence.peers if p.get("instructions") and evidence.instructions]
    return min(peers, key=lambda p: p["instructions"], default=None)


def _not_allocator(evidence, share, verdict):
    limit = next(case for case in verdict.cases if case.id == "not-allocator").indicator(ALLOCATOR_TIME).value
    yield (
        "Leave the allocator alone and profile the program: its own functions are in the table of functions.",
        _up_to(limit, "all that is spent in the allocator"),
    )


def _instructions(evidence, share, verdict):
    peer = _best_peer(evidence)
    if peer and peer["instructions"] < 0.97 * evidence.instructions:
        fewer = 1 - peer["instructions"] / evidence.instructions
        yield (
            f"{peer['name']} runs the same program with {percent(fewer, 0)} fewer instructions: compare the functions "
            "of both, starting with the largest.",
            _up_to(fewer * (share.middle if share else 1), "the cycles of that difference"),
        )
    part = _allocator_part(evidence, share, "instructions")
    yield (
        "Shorten the common path: fewer layers and checks per call, work moved from every call to every refill. "
        "`./configure --enable-minimal` builds libhakmem without statistics and with constant knobs; linking it "
        "statically (libhakmem.a) saves the indirect call of every malloc and free.",
        None if part is None else _up_to(part / 2, "half of the instructions in the allocator's functions"),
    )
    yield (
        "If hak_tcache_refill, hak_tcache_spill or hak_heap_get are high in the table of functions, magazines are too "
        "small for the program: `hakmem run --tune=magazine_budget=4m,depot_budget=8m`.",
        None,
    )
    each = evidence.per_operation(evidence.instructions)
    if each:
        gain = 10 / each * (share.middle if share else 1)
        yield (
            "Call less often: reuse buffers, reserve containers, allocate arrays in place of elements.",
            f"about {percent(gain)} for every 10 instructions saved per operation",
        )


def _mispredictions(evidence, share, verdict):
    part = _allocator_part(evidence, share, "mispredictions")
    place = evidence.places.get("mispredictions")
    each = evidence.per_operation(evidence.branch_misses)
    lost = (
        None
        if not each
        else f"{significant(each * 13)} to {significant(each * 20)} cycles of each operation's "
        f"{significant(evidence.per_operation(evidence.cycles))}"
    )
    yield (
        (
            f"{percent(place['first_share'], 0)} of the mispredictions are in `{place['first']}`, "
            f"{percent(place['allocator'], 0)} in the allocator: "
            if place
            else "Find the branches with `perf record -e branch-misses`: "
        )
        + 'a data-dependent branch of the program\'s own, such as "is this slot full", no allocator can remove.',
        _up_to(share.middle if share else None, "all mispredictions" + (f", {lost}" if lost else "")),
    )
    if part is not None and part < 0.01:
        return
    yield (
        "In the allocator: choose the size class by a table rather than by comparisons, and let the rare cases share "
        "one branch; in the program: sort or batch requests of one size, so that branches repeat.",
        _up_to(part, "the mispredictions that fall into the allocator's functions") if part else None,
    )


def _store_dependency(evidence, share, verdict):
    part = _allocator_part(evidence, share)
    yield (
        "Look for loads that depend on a store just before (a free list's link read back at once, a header written on "
        "every malloc) and for long chains of dependent loads; `perf annotate` shows the waiting instruction.",
        _up_to(part, "the unexplained cycles of the allocator's functions")
        if part
        else _up_to(share.middle if share else None, "all unexplained cycles"),
    )
    yield ("Write less on the common path: no header per block, no counters shared between threads.", None)


def _misses(evidence, share, verdict):
    yield (
        "Huge pages: `madvise` in /sys/kernel/mm/transparent_hugepage/enabled lets libhakmem ask for them by its 2 MiB "
        "units, from 32 MiB of memory on or, with `hakmem run --tune=thp=always`, from the start; it helps most where "
        "dTLB misses lead.",
        _dtlb_gain(evidence),
    )
    yield (
        "Touch less memory: smaller structures, blocks that are used together allocated together, memory freed soon "
        "after its last use (the block freed last is handed out next, and is still in the cache).",
        _up_to(share.middle if share else None, "all data misses"),
    )


def _dtlb_gain(evidence):
    if not evidence.dtlb_misses or not evidence.cycles:
        return None
    return _up_to(min(1.0, 25 * evidence.dtlb_misses / evidence.cycles), "all dTLB misses at 25 cycles")


def _instruction_cache(evidence, share, verdict):
    yield (
        "Make the hot code smaller and closer together: -O2 in place of -O3, profile-guided optimisation, fewer "
        "inlined copies of malloc's fast path (link libhakmem.so rather than many static copies).",
        _up_to(share.middle if share else None, "all misses of instruction fetch"),
    )


def _page_work(evidence, share, verdict):
    kernel = evidence.kernel_time
    faults = "" if evidence.page_faults is None else f" ({significant(evidence.page_faults)} page faults)"
    yield (
        f"The kernel hands out, clears and takes back pages again and again{faults}. Keep more free memory in the "
        "process, and for longer: `hakmem run --tune=keep_free=1g,huge_cache=256m,purge_delay=10s` (in the program, "
        "hakmem_tune_set() or mallopt(M_TRIM_THRESHOLD, BYTES)); fewer calls of malloc_trim help too.",
        _up_to(kernel, "all time in the kernel"),
    )
    yield (
        "Huge pages turn 512 faults into one where memory is used densely: `madvise` in "
        "/sys/kernel/mm/transparent_hugepage/enabled, and `hakmem run --tune=thp=always`.",
        None,
    )
    calls = evidence.per_operation(evidence.memory_calls)
    if calls and calls > 1e-4:
        yield (
            f"{significant(calls * 1000)} memory system calls per 1000 operations: large blocks that come and go are "
            "better kept and reused by the program.",
            None,
        )


def _locks(evidence, share, verdict):
    yield (
        "Free blocks in the thread that allocated them, or hand them over in batches; blocks freed by another thread "
        "must travel back to their owner.",
        _up_to(share.middle if share else None, "all time in locks and waits"),
    )
    yield (
        "If the waits are in the allocator's own functions, and many threads share few processors, give them more "
        "heaps and larger magazines: "
        "`hakmem run --tune=heaps_per_cpu=4,magazine_budget=4m,magazine_budget_total=256m`.",
        None,
    )
    yield (
        "`perf lock record` and `perf c2c` name the lock or the cache line that threads fight for. If it is the "
        "program's own lock, no allocator will help.",
        None,
    )


def _undecided(evidence, share, verdict):
    if not evidence.cycles or "cycles" in evidence.simulated:
        yield (
            "Measure on a machine with hardware counters (most virtual machines have none) and judge the output here: "
            "`hakmem profile --replay perf-stat.txt --report perf-report.txt`.",
            None,
        )
    if evidence.spread is not None and evidence.spread > 0.05:
        yield ("The runs differ too much: use a quiet machine, a longer program or more --runs.", None)
    if evidence.operations is None:
        yield ("Say how many operations the program does (--ops N): figures per operation decide some cases.", None)
    largest = max(verdict.budget, key=lambda part: part.share.middle, default=None)
    if largest:
        yield (
            f'Start with "{largest.cause}", the largest part of the cycles ({percent(largest.share.middle, 0)}).',
            None,
        )


ADVICE = {
    "not-allocator": _not_allocator,
    "instructions": _instructions,
    "mispredictions": _mispredictions,
    "store-dependency": _store_dependency,
    "misses": _misses,
    "instruction-cache": _instruction_cache,
    "page-work": _page_work,
    "locks": _locks,
    "undecided": _undecided,
}
