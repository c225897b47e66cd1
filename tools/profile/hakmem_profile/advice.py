# SPDX-License-Identifier: MIT
"""What to do about each case: a change or a knob that exists, and what it may gain where that can be computed.

A gain is always an upper bound from the measured shares, and says from what.  Knobs of the allocator are named only as
far as this version of libhakmem has them; the rest are changes to the program or to how it is built and run.
"""

from .figures import percent, significant


def advise(e, verdict):
    """[{"case", "what", "gain"}], most useful first."""
    result = []
    for case in [verdict.case] + verdict.also:
        share = next((c.share for c in verdict.cases if c.id == case and c.share), None)
        for what, gain in ADVICE[case](e, share, verdict):
            result.append({"case": case, "what": what, "gain": gain})
    return result


def _up_to(value, text):
    return None if value is None else f"at most {percent(value, 0 if value >= 0.01 else 1)} of the time: {text}"


def _allocator_part(e, share, kind=None):
    """The part of a share of the cycles that lies in the allocator.

    It divides as the events of this kind do, or, if that is not known, as the time does.
    """
    inside = e.places[kind]["allocator"] if kind in e.places else e.allocator_share
    if share is None or inside is None:
        return None
    return share[1] * inside


def _best_peer(e):
    """The allocator compared with that needs the fewest instructions per operation."""
    peers = [p for p in e.peers if p.get("instructions") and e.instructions]
    return min(peers, key=lambda p: p["instructions"], default=None)


def _not_allocator(e, share, verdict):
    limit = e.allocator_share if e.allocator_share is not None else verdict.cases[0].indicators[0].value
    yield (
        "Leave the allocator alone and profile the program: its own functions are in the table of functions.",
        _up_to(limit, "all that is spent in the allocator"),
    )


def _instructions(e, share, verdict):
    peer = _best_peer(e)
    if peer and peer["instructions"] < 0.97 * e.instructions:
        saved = (1 - peer["instructions"] / e.instructions) * (share[1] if share else 1)
        yield (
            f"{peer['name']} runs the same program with {percent(1 - peer['instructions'] / e.instructions, 0)} fewer "
            "instructions: compare the functions of both, starting with the largest.",
            _up_to(saved, "the cycles of that difference"),
        )
    part = _allocator_part(e, share, "instructions")
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
    if e.per_operation(e.instructions):
        each = e.per_operation(e.instructions)
        yield (
            "Call less often: reuse buffers, reserve containers, allocate arrays in place of elements.",
            f"about {percent(10 / each * (share[1] if share else 1))} for every 10 instructions saved per operation",
        )


def _mispredictions(e, share, verdict):
    part = _allocator_part(e, share, "mispredictions")
    place = e.places.get("mispredictions")
    each = e.per_operation(e.branch_misses)
    lost = (
        None
        if not each
        else f"{significant(each * 13)} to {significant(each * 20)} cycles of each operation's "
        f"{significant(e.per_operation(e.cycles))}"
    )
    yield (
        (
            f"{percent(place['first_share'], 0)} of the mispredictions are in `{place['first']}`, "
            f"{percent(place['allocator'], 0)} in the allocator: "
            if place
            else "Find the branches with `perf record -e branch-misses`: "
        )
        + 'a data-dependent branch of the program\'s own, such as "is this slot full", no allocator can remove.',
        _up_to(share[1] if share else None, "all mispredictions" + (f", {lost}" if lost else "")),
    )
    if part is not None and part < 0.01:
        return
    yield (
        "In the allocator: choose the size class by a table rather than by comparisons, and let the rare cases share "
        "one branch; in the program: sort or batch requests of one size, so that branches repeat.",
        _up_to(part, "the mispredictions that fall into the allocator's functions") if part else None,
    )


def _store_dependency(e, share, verdict):
    part = _allocator_part(e, share)
    yield (
        "Look for loads that depend on a store just before (a free list's link read back at once, a header written on "
        "every malloc) and for long chains of dependent loads; `perf annotate` shows the waiting instruction.",
        _up_to(part, "the unexplained cycles of the allocator's functions")
        if part
        else _up_to(share[1] if share else None, "all unexplained cycles"),
    )
    yield ("Write less on the common path: no header per block, no counters shared between threads.", None)


def _misses(e, share, verdict):
    yield (
        "Huge pages: `madvise` in /sys/kernel/mm/transparent_hugepage/enabled lets libhakmem ask for them by its 2 MiB "
        "units, from 32 MiB of memory on or, with `hakmem run --tune=thp=always`, from the start; it helps most where "
        "dTLB misses lead.",
        _dtlb_gain(e),
    )
    yield (
        "Touch less memory: smaller structures, blocks that are used together allocated together, memory freed soon "
        "after its last use (the block freed last is handed out next, and is still in the cache).",
        _up_to(share[1] if share else None, "all data misses"),
    )


def _dtlb_gain(e):
    if not e.dtlb_misses or not e.cycles:
        return None
    return _up_to(min(1.0, 25 * e.dtlb_misses / e.cycles), "all dTLB misses at 25 cycles")


def _instruction_cache(e, share, verdict):
    yield (
        "Make the hot code smaller and closer together: -O2 in place of -O3, profile-guided optimisation, fewer "
        "inlined copies of malloc's fast path (link libhakmem.so rather than many static copies).",
        _up_to(share[1] if share else None, "all misses of instruction fetch"),
    )


def _page_work(e, share, verdict):
    kernel = e.kernel_time
    faults = "" if e.page_faults is None else f" ({significant(e.page_faults)} page faults)"
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
    if e.memory_calls and e.operations and e.memory_calls / e.operations > 1e-4:
        yield (
            f"{significant(e.memory_calls / e.operations * 1000)} memory system calls per 1000 operations: large "
            "blocks that come and go are better kept and reused by the program.",
            None,
        )


def _locks(e, share, verdict):
    yield (
        "Free blocks in the thread that allocated them, or hand them over in batches; blocks freed by another thread "
        "must travel back to their owner.",
        _up_to(share[1] if share else None, "all time in locks and waits"),
    )
    yield (
        "If the waits are in the allocator's own functions, and many threads share few processors, give them more heaps "
        "and larger magazines: `hakmem run --tune=heaps_per_cpu=4,magazine_budget=4m,magazine_budget_total=256m`.",
        None,
    )
    yield (
        "`perf lock record` and `perf c2c` name the lock or the cache line that threads fight for. If it is the "
        "program's own lock, no allocator will help.",
        None,
    )


def _undecided(e, share, verdict):
    if not e.cycles or "cycles" in e.simulated:
        yield (
            "Measure on a machine with hardware counters (most virtual machines have none) and judge the output here: "
            "`hakmem profile --replay perf-stat.txt --report perf-report.txt`.",
            None,
        )
    if e.spread is not None and e.spread > 0.05:
        yield ("The runs differ too much: use a quiet machine, a longer program or more --runs.", None)
    if e.operations is None:
        yield ("Say how many operations the program does (--ops N): figures per operation decide some cases.", None)
    largest = max(verdict.budget, key=lambda part: part[2], default=None)
    if largest:
        yield (
            f'The largest single part of the cycles is "{largest[0]}" with {percent(largest[2], 0)}; start there.',
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
