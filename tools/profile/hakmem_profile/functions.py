# SPDX-License-Identifier: MIT
"""Sorts functions into allocator, program, kernel and libraries, and joins the tables of time and of misses.

The join is the heart of the original Phase 44 analysis: a function's share of the time divided by its share of the
cache misses.  A high ratio says that cache misses do not explain its time; it does not say what does.
"""

import os
import re

# Whole libraries that are allocators, by the name of their file ...
ALLOCATOR_LIBRARY = re.compile(
    r"^lib(hakmem(?!-count)|jemalloc|mimalloc|tcmalloc|snmalloc|rpmalloc|hoard|scalloc|ffmalloc|tbbmalloc)")
# ... and, in the C library and in programs linked with an allocator statically, functions by their names.
ALLOCATOR_FUNCTION = re.compile(
    r"^(?:(?:__libc_|__GI_|__GI___libc_|__default_|hakmem_)?"
    r"(?:malloc|calloc|realloc|reallocarray|free|cfree|memalign|posix_memalign|aligned_alloc|valloc|pvalloc"
    r"|free_sized|free_aligned_sized|malloc_usable_size|malloc_trim)"
    r"|_int_(?:malloc|free|realloc|memalign)\w*|_mid_memalign|malloc_consolidate|unlink_chunk|sysmalloc|systrim"
    r"|tcache_\w+|ptmalloc_\w+|arena_get\w*|alloc_perturb|munmap_chunk|mremap_chunk|checked_request2size|_int_free\w*"
    r"|_Zn[wa]m\w*|_Zd[la]Pv\w*|operator (?:new|delete)\b.*"
    r"|hak_\w+|hakmem_\w+|tiny_\w+|unified_cache_\w+|mid_(?:inuse|desc)_\w+|free_tiny_\w+|classify_ptr|mimalloc\w*"
    r"|_?mi_\w+|_?rjem_\w+|je_\w+|jemalloc\w*|tc_\w+|tcmalloc\w*|rpmalloc\w*|rpfree|sn_\w+|snmalloc\w*)$")

KERNEL_PAGE_WORK = re.compile(
    r"^(?:clear_(?:huge_)?page|clear_subpage|clear_page_\w+|copy_page|do_anonymous_page|do_user_addr_fault|exc_page_fault"
    r"|asm_exc_page_fault|do_page_fault|page_fault|error_entry|handle_mm_fault|__handle_mm_fault|handle_pte_fault"
    r"|do_huge_pmd_\w+|vma_alloc_\w+|alloc_anon_folio|alloc_pages\w*|__alloc_pages\w*|get_page_from_freelist|rmqueue\w*"
    r"|prep_new_page|post_alloc_hook|free_pcppages_bulk|free_unref_\w+|__free_\w*pages?\w*|free_frozen_\w+|release_pages"
    r"|\w*memcg\w*|\w*mem_cgroup\w*|charge_\w+|uncharge_\w+|unmap_\w+|zap_\w+|tlb_\w+|flush_tlb\w*|native_flush_tlb\w*"
    r"|lru_\w+|folio\w*|pagevec_\w+|page_remove_rmap|page_add_\w*rmap|mas_\w+|vma_\w+|mt_\w+|do_(?:mmap|munmap|mremap|madvise|brk)\w*"
    r"|mprotect_\w+|change_p\w+_range\w*|change_protection|madvise_\w+|walk_\w+|__vm_munmap|mmap_region|sync_regs|pte_\w+"
    r"|__pte_\w+|_compound_head|__mod_\w+_state|mod_\w+_state|__count_memcg_events|native_irq_return_iret"
    r"|cgroup_rstat_updated|try_charge\w*|khugepaged\w*|collapse_\w+)(?:\.\w+)*$")
LOCKS = re.compile(
    r"^(?:\w*spin_lock_slowpath|native_queued_spin_lock\w*|osq_lock|rwsem_\w+|down_(?:read|write)\w*|up_(?:read|write)\w*"
    r"|futex_\w+|do_futex|__futex_\w+|plist_\w+|mutex_(?:lock|spin)\w*|__mutex_\w+|try_to_wake_up|wake_up_q"
    r"|(?:__GI_)?(?:___)?(?:__)?pthread_(?:mutex|rwlock|spin|cond)_\w+|__lll_lock_\w+|lll_\w+|hak_lock_\w*slow\w*"
    r"|schedule|__schedule|sched_yield|do_sched_yield|__sched_yield)(?:\.\w+)*$")

COMPILER_SUFFIX = re.compile(r"(?:\.(?:constprop|isra|part|lto_priv|cold|llvm|localalias)(?:\.\d+)?)+$")

ALLOCATOR, PROGRAM, KERNEL, LOADER = "allocator", "program", "kernel", "loader"


def short_name(symbol):
    """The name without what the compiler appended to clones: tiny_alloc.constprop.0 -> tiny_alloc."""
    return COMPILER_SUFFIX.sub("", symbol)


def group(symbol, dso=None, kernel=False):
    """Who a function belongs to."""
    if kernel or (dso and re.match(r"^\[(?!vdso|heap|stack|unknown)", dso)):
        return KERNEL
    base = (dso or "").rsplit("/", 1)[-1]
    if ALLOCATOR_LIBRARY.match(base):
        return ALLOCATOR
    if ALLOCATOR_FUNCTION.match(short_name(symbol).split("@")[0]):
        return ALLOCATOR
    if base.startswith(("ld-linux", "ld.so", "ld-2")):
        return LOADER
    return PROGRAM


def is_page_work(symbol):
    return bool(KERNEL_PAGE_WORK.match(symbol))


def is_lock(symbol):
    return bool(LOCKS.match(short_name(symbol).split("@")[0]))


def prepare(rows):
    """Rows of a parser with their group and short name; shares are fractions of 1."""
    prepared = []
    for rank, row in enumerate(rows, 1):
        dso = row.get("object")
        prepared.append({
            "name": short_name(row["symbol"]), "symbol": row["symbol"], "object": os.path.basename(dso) if dso else None,
            "rank": rank, "share": round(row["percent"] / 100, 6),
            "group": group(row["symbol"], dso, row.get("kernel", False))})
    return prepared


def from_costs(costs, value):
    """Rows by a simulated event: `value` takes one function's costs and gives its number."""
    numbers = [(value(own), dso, symbol) for (dso, symbol), own in costs.functions.items()]
    total = sum(number for number, _, _ in numbers)
    merged = {}
    for number, dso, symbol in numbers:
        base = os.path.basename(dso) if dso else None
        symbol = re.sub(r"'\d+$", "", symbol)  # callgrind numbers the levels of a recursion
        if re.match(r"^(?:0x[0-9a-f]+|\(no symbol\)|\?\?\?)$", symbol):
            symbol = f"(no symbols: {base})"
        merged[base, symbol] = merged.get((base, symbol), 0) + number
    rows = [{"percent": 100 * number / total, "symbol": symbol, "object": dso, "kernel": False}
            for (dso, symbol), number in merged.items() if number] if total else []
    return sorted(rows, key=lambda row: (-row["percent"], row["symbol"]))


def shares(rows):
    """How the whole divides: {"allocator": .., "program": .., "kernel": .., "page work": .., "locks": ..}."""
    result = {ALLOCATOR: 0.0, PROGRAM: 0.0, KERNEL: 0.0, LOADER: 0.0, "page work": 0.0, "locks": 0.0, "listed": 0.0}
    for row in rows:
        result[row["group"]] += row["share"]
        result["listed"] += row["share"]
        if is_lock(row["symbol"]):
            result["locks"] += row["share"]
        elif row["group"] == KERNEL and is_page_work(row["symbol"]):
            result["page work"] += row["share"]
    return {name: round(value, 6) for name, value in result.items()}


class Index:
    """Finds the row of a function in another table: by name and file, or by name alone where a file is not known."""

    def __init__(self, rows):
        self.exact = {(row["name"], row["object"]): row for row in reversed(rows)}
        self.by_name = {}
        for row in reversed(rows):
            self.by_name[row["name"], row["group"] == KERNEL] = row

    def find(self, row):
        found = self.exact.get((row["name"], row["object"]))
        if found is None and row["object"] is None:
            found = self.by_name.get((row["name"], row["group"] == KERNEL))
        return found


def join(time_rows, miss_rows):
    """The functions of the time table in its order, each with its place in the miss table and the ratio of shares."""
    index = Index(miss_rows)
    joined = []
    for row in time_rows:
        miss = index.find(row)
        ratio = row["share"] / miss["share"] if miss and miss["share"] else None
        joined.append({**row, "time_share": row["share"], "miss_share": miss["share"] if miss else None,
                       "miss_rank": miss["rank"] if miss else None, "ratio": ratio})
    return joined
