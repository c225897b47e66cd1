# SPDX-License-Identifier: MIT
"""Sorts functions into allocator, program, libraries and kernel, and joins the tables of time and of misses.

The join comes from the original's analysis: a function's share of the time divided by its share of the
cache misses.  A high ratio says that cache misses do not explain its time; it does not say what does.
"""

import os
import re


def _names(text):
    """A pattern that matches each of these names; * stands for any letters."""
    words = "|".join(re.escape(word).replace(r"\*", r"\w*") for word in text.split())
    return re.compile(rf"^(?:{words})(?:\.\w+)*$")


# Whole libraries that are allocators, by the name of their file ...
ALLOCATOR_LIBRARY = re.compile(
    r"^lib(?:hakmem(?!-count)|jemalloc|mimalloc|tcmalloc|snmalloc|rpmalloc|hoard|scalloc|ffmalloc|tbbmalloc)"
)
# ... and, in the C library and in programs linked with an allocator statically, functions by their names.
ALLOCATOR_FUNCTION = _names(
    """
    malloc calloc realloc reallocarray free cfree memalign posix_memalign aligned_alloc valloc pvalloc free_sized
    free_aligned_sized malloc_usable_size malloc_trim malloc@plt calloc@plt realloc@plt free@plt
    __libc_malloc* __libc_calloc* __libc_realloc* __libc_free* __libc_memalign* __GI___libc_malloc* __GI___libc_free*
    _int_malloc* _int_free* _int_realloc* _int_memalign* _mid_memalign malloc_consolidate unlink_chunk sysmalloc systrim
    tcache_* ptmalloc_* arena_get* alloc_perturb munmap_chunk mremap_chunk checked_request2size
    _Znwm* _Znam* _ZdlPv* _ZdaPv*
    hak_* hakmem_* tiny_* unified_cache_* mid_inuse_* mid_desc_* free_tiny_* classify_ptr
    mi_* _mi_* mimalloc* je_* rjem_* _rjem_* jemalloc* tc_* tcmalloc* rpmalloc* rpfree sn_* snmalloc*
    """
)
OPERATOR = re.compile(r"^operator (?:new|delete)\b")

KERNEL_PAGE_WORK = _names(
    """
    clear_page* clear_huge_page clear_subpage copy_page do_anonymous_page do_user_addr_fault exc_page_fault
    asm_exc_page_fault do_page_fault page_fault error_entry sync_regs native_irq_return_iret handle_mm_fault
    __handle_mm_fault handle_pte_fault do_huge_pmd_* vma_alloc_* alloc_anon_folio alloc_pages* __alloc_pages*
    __alloc_frozen_pages* alloc_frozen_pages* get_page_from_freelist rmqueue* prep_new_page post_alloc_hook
    free_pcppages_bulk free_unref_* __free_pages* free_frozen_* release_pages *memcg* *mem_cgroup* charge_* uncharge_*
    try_charge* unmap_* zap_* tlb_* flush_tlb* native_flush_tlb* lru_* folio* pagevec_* page_remove_rmap page_add_*
    mas_* mt_* vma_* do_mmap* do_munmap* do_mremap* do_madvise* do_brk* mmap_region __vm_munmap mprotect_*
    change_protection* change_pmd_range* change_pte_range* madvise_* walk_p* pte_* __pte_* __mod_*_state mod_*_state
    __count_memcg_events cgroup_rstat_updated khugepaged* collapse_*
    """
)
LOCKS = _names(
    """
    *spin_lock_slowpath native_queued_spin_lock* osq_lock rwsem_* down_read* down_write* up_read* up_write* mutex_lock*
    mutex_spin* __mutex_* futex_* do_futex __futex_* plist_* try_to_wake_up wake_up_q schedule __schedule sched_yield
    __sched_yield do_sched_yield pthread_mutex_* pthread_rwlock_* pthread_spin_* pthread_cond_* __pthread_mutex_*
    ___pthread_mutex_* __GI___pthread_mutex_* ___pthread_rwlock_* __pthread_cond_* __lll_lock_* lll_* hak_lock_*slow*
    """
)

COMPILER_SUFFIX = re.compile(r"(?:\.(?:constprop|isra|part|lto_priv|cold|llvm|localalias)(?:\.\d+)?)+$")

ALLOCATOR, PROGRAM, LIBRARY, LOADER, KERNEL = "allocator", "program", "library", "loader", "kernel"
GROUPS = (ALLOCATOR, PROGRAM, LIBRARY, LOADER, KERNEL)


def short_name(symbol):
    """The name without what the compiler appended to clones: tiny_alloc.constprop.0 -> tiny_alloc."""
    return COMPILER_SUFFIX.sub("", symbol)


def group(symbol, dso=None, kernel=False):
    """The group that a function belongs to."""
    if kernel or (dso and re.match(r"^\[(?!vdso|heap|stack|unknown)", dso)):
        return KERNEL
    base = (dso or "").rsplit("/", 1)[-1]
    if ALLOCATOR_LIBRARY.match(base):
        return ALLOCATOR
    plain = re.sub(r"@(?!plt).*", "", short_name(symbol))
    if ALLOCATOR_FUNCTION.match(plain) or OPERATOR.match(plain):
        return ALLOCATOR
    if base.startswith(("ld-linux", "ld.so", "ld-2")):
        return LOADER
    return LIBRARY if ".so" in base else PROGRAM


def is_page_work(symbol):
    return bool(KERNEL_PAGE_WORK.match(symbol))


def is_lock(symbol):
    return bool(LOCKS.match(short_name(symbol).split("@")[0]))


def prepare(rows):
    """Rows of a parser with their group and short name; shares are fractions of 1."""
    prepared = []
    for rank, row in enumerate(rows, 1):
        dso = row.get("object")
        prepared.append(
            {
                "name": short_name(row["symbol"]),
                "symbol": row["symbol"],
                "object": os.path.basename(dso) if dso else None,
                "rank": rank,
                "share": round(row["percent"] / 100, 6),
                "group": group(row["symbol"], dso, row.get("kernel", False)),
            }
        )
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
    rows = (
        [
            {"percent": 100 * number / total, "symbol": symbol, "object": dso, "kernel": False}
            for (dso, symbol), number in merged.items()
            if number
        ]
        if total
        else []
    )
    return sorted(rows, key=lambda row: (-row["percent"], row["symbol"]))


def shares(rows):
    """The share of each group, and of "page work", "locks" and "listed", which is all rows."""
    result = dict.fromkeys((*GROUPS, "page work", "locks", "listed"), 0.0)
    for row in rows:
        result[row["group"]] += row["share"]
        result["listed"] += row["share"]
        if is_lock(row["symbol"]):
            result["locks"] += row["share"]
        elif row["group"] == KERNEL and is_page_work(row["symbol"]):
            result["page work"] += row["share"]
    return {name: round(value, 6) for name, value in result.items()}


class Index:
    """Finds the row of a function in another table: by name and file, or by name if the file is not known."""

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
        joined.append(
            {
                **row,
                "time_share": row["share"],
                "miss_share": miss["share"] if miss else None,
                "miss_rank": miss["rank"] if miss else None,
                "ratio": ratio,
            }
        )
    return joined
