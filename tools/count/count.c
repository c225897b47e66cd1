/* SPDX-License-Identifier: MIT */
/*
 * libhakmem-count.so: counts a program's allocations, whichever allocator serves them.
 *
 *     HAKMEM_COUNT_OUT=/tmp/counts LD_PRELOAD="/usr/lib/.../libhakmem-count.so libhakmem.so.0" PROGRAM ARGS
 *
 * It stands in front of the allocator: it must be the first of the preloaded libraries, and every call goes on to the
 * next definition of the same name (the allocator preloaded after it, or the C library).  When a process ends, one
 * line of JSON is appended to the file that HAKMEM_COUNT_OUT names:
 *
 *     {"pid":1234,"program":"sort","allocations":120,"frees":97,"reallocs":3,"callocs":5,"aligned":0,"failed":0,
 *      "bytes":104856,"by_size":[{"upto":16,"count":12},{"upto":32,"count":40}]}     (on one line)
 *
 *   allocations  calls that handed out a new block: malloc, calloc, the aligned family, realloc of NULL, operator new
 *   callocs, aligned   how many of these were calloc, and how many asked for an alignment
 *   reallocs     calls of realloc and reallocarray on an existing block
 *   frees        calls that gave a block back: free and its sized forms, realloc to 0 bytes, operator delete
 *   failed       allocating calls that returned NULL
 *   bytes        what allocations and reallocs asked for
 *   by_size      the same calls by the size asked for.  A range counts the sizes above the range before it, up to
 *                `upto`; ranges without a call are left out.  Up to 128 KiB they are libhakmem's size classes.
 *
 * The file is opened for appending and written by a single write(2), so many processes may share it.  A child of fork
 * starts at zero and writes its own line; a process that calls exec writes what it has counted so far and goes on under
 * the same process id with a second line.  _exit and quick_exit write the line too.  Nothing is written by a process
 * that is killed by a signal, by setuid programs (the loader ignores LD_PRELOAD there), or without HAKMEM_COUNT_OUT.
 *
 * How it stays out of the way: no lock and no allocation of its own, anywhere.  Threads are spread over 64 sets of
 * counters and add to them with relaxed atomics.  dlsym allocates while the next definitions are still being looked
 * up; those few blocks come from a static arena and are recognised by address ever after.  C++ operators reach malloc
 * in most libraries but allocate directly in others, so an operator is counted only if no malloc was counted during
 * its call.
 * A count costs some nanoseconds: do not time a program that is being counted.
 */
#include "count.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define INITIAL_EXEC __attribute__((tls_model("initial-exec")))
#define LIKELY(x) __builtin_expect(!!(x), 1)

/* Not in every C library's headers. */
void cfree(void *block);
void free_sized(void *block, size_t size);
void free_aligned_sized(void *block, size_t alignment, size_t size);
void *pvalloc(size_t size);

struct count_shard count_shards[COUNT_SHARDS];

static _Atomic unsigned threads_seen;
static __thread struct count_shard *own_shard INITIAL_EXEC;
/* What this thread has counted so far: tells whether the C++ operator just called reached malloc or free. */
static __thread unsigned long own_allocations INITIAL_EXEC;
static __thread unsigned long own_frees INITIAL_EXEC;

/* ---- counting ---- */

static struct count_shard *shard(void)
{
    if (!LIKELY(own_shard)) {
        own_shard = &count_shards[atomic_fetch_add_explicit(&threads_seen, 1, memory_order_relaxed) % COUNT_SHARDS];
    }
    return own_shard;
}

static void add(uint64_t *counter, uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static unsigned range_of(size_t size)
{
    if (size <= 16 * COUNT_LINEAR) {
        return size == 0 ? 0 : (unsigned)(size - 1) / 16;
    }
    unsigned log = 63 - (unsigned)__builtin_clzl(size - 1);
    if (log < 17) {
        return COUNT_LINEAR + (log - 7) * 8 + (unsigned)(((size - 1) >> (log - 3)) & 7);
    }
    return log < 62 ? COUNT_CLASSES + log - 17 : COUNT_RANGES - 1;
}

uint64_t count_range_limit(unsigned index)
{
    if (index < COUNT_LINEAR) {
        return 16 * (index + 1);
    }
    if (index < COUNT_CLASSES) {
        unsigned step = index - COUNT_LINEAR;
        return (uint64_t)(9 + step % 8) << (4 + step / 8);
    }
    return (uint64_t)1 << (18 + index - COUNT_CLASSES);
}

static void count_size(struct count_shard *s, size_t size)
{
    add(&s->bytes, size);
    add(&s->by_size[range_of(size)], 1);
}

/* Counts one allocation that returned `block`; passes it through. */
static void *counted(void *block, size_t size)
{
    struct count_shard *s = shard();
    if (block) {
        add(&s->allocations, 1);
        count_size(s, size);
    } else {
        add(&s->failed, 1);
    }
    own_allocations++;
    return block;
}

static void *counted_aligned(void *block, size_t size)
{
    if (block) {
        add(&shard()->aligned, 1);
    }
    return counted(block, size);
}

static void count_free(void)
{
    add(&shard()->frees, 1);
    own_frees++;
}

/* ---- the next definitions, and the arena that serves dlsym while they are looked up ---- */

static struct {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void *(*reallocarray)(void *, size_t, size_t);
    void (*free)(void *);
    void (*free_sized)(void *, size_t);
    void (*free_aligned_sized)(void *, size_t, size_t);
    void (*cfree)(void *);
    void *(*aligned_alloc)(size_t, size_t);
    void *(*memalign)(size_t, size_t);
    int (*posix_memalign)(void **, size_t, size_t);
    void *(*valloc)(size_t);
    void *(*pvalloc)(size_t);
} next;

/* The C++ operators and their symbols; all have the shape "first argument, up to two more words". */
#define NEW_OPERATORS(X)                                                                                               \
    X(NEW, "_Znwm")                                                                                                    \
    X(NEW_ARRAY, "_Znam")                                                                                              \
    X(NEW_NOTHROW, "_ZnwmRKSt9nothrow_t")                                                                              \
    X(NEW_ARRAY_NOTHROW, "_ZnamRKSt9nothrow_t")                                                                        \
    X(NEW_ALIGNED, "_ZnwmSt11align_val_t")                                                                             \
    X(NEW_ARRAY_ALIGNED, "_ZnamSt11align_val_t")                                                                       \
    X(NEW_ALIGNED_NOTHROW, "_ZnwmSt11align_val_tRKSt9nothrow_t")                                                       \
    X(NEW_ARRAY_ALIGNED_NOTHROW, "_ZnamSt11align_val_tRKSt9nothrow_t")
#define DELETE_OPERATORS(X)                                                                                            \
    X(DELETE, "_ZdlPv")                                                                                                \
    X(DELETE_ARRAY, "_ZdaPv")                                                                                          \
    X(DELETE_SIZED, "_ZdlPvm")                                                                                         \
    X(DELETE_ARRAY_SIZED, "_ZdaPvm")                                                                                   \
    X(DELETE_NOTHROW, "_ZdlPvRKSt9nothrow_t")                                                                          \
    X(DELETE_ARRAY_NOTHROW, "_ZdaPvRKSt9nothrow_t")                                                                    \
    X(DELETE_ALIGNED, "_ZdlPvSt11align_val_t")                                                                         \
    X(DELETE_ARRAY_ALIGNED, "_ZdaPvSt11align_val_t")                                                                   \
    X(DELETE_SIZED_ALIGNED, "_ZdlPvmSt11align_val_t")                                                                  \
    X(DELETE_ARRAY_SIZED_ALIGNED, "_ZdaPvmSt11align_val_t")                                                            \
    X(DELETE_ALIGNED_NOTHROW, "_ZdlPvSt11align_val_tRKSt9nothrow_t")                                                   \
    X(DELETE_ARRAY_ALIGNED_NOTHROW, "_ZdaPvSt11align_val_tRKSt9nothrow_t")

#define AS_CONSTANT(which, symbol) which,
#define AS_SYMBOL(which, symbol) symbol,
enum cxx_operator { NEW_OPERATORS(AS_CONSTANT) DELETE_OPERATORS(AS_CONSTANT) CXX_OPERATORS };

static const char *const cxx_names[CXX_OPERATORS] = {NEW_OPERATORS(AS_SYMBOL) DELETE_OPERATORS(AS_SYMBOL)};

static void *cxx_next[CXX_OPERATORS];

static _Atomic bool ready;
static _Atomic bool resolving;

static char arena[64 * 1024] __attribute__((aligned(16)));
static _Atomic size_t arena_used;

static bool in_arena(const void *block)
{
    return (uintptr_t)block - (uintptr_t)arena < sizeof(arena);
}

/* A block of the arena, preceded by its size for realloc.  The arena is zero and never reused: this is calloc too. */
static void *arena_alloc(size_t size)
{
    if (size < sizeof(arena)) {
        size_t whole = 16 + ((size + 15) & ~(size_t)15);
        size_t start = atomic_fetch_add(&arena_used, whole);
        if (start + whole <= sizeof(arena)) {
            char *block = arena + start + 16;
            *(size_t *)(void *)(block - 16) = size;
            return block;
        }
    }
    errno = ENOMEM;
    return NULL;
}

#define LOOK_UP(name) (next.name = __extension__(__typeof__(next.name)) dlsym(RTLD_NEXT, #name))

static void look_up_all(void)
{
    LOOK_UP(malloc);
    LOOK_UP(calloc);
    LOOK_UP(realloc);
    LOOK_UP(reallocarray);
    LOOK_UP(free);
    LOOK_UP(free_sized);
    LOOK_UP(free_aligned_sized);
    LOOK_UP(cfree);
    LOOK_UP(aligned_alloc);
    LOOK_UP(memalign);
    LOOK_UP(posix_memalign);
    LOOK_UP(valloc);
    LOOK_UP(pvalloc);
    cxx_next[NEW] = dlsym(RTLD_NEXT, cxx_names[NEW]);
    for (int i = NEW + 1; i < CXX_OPERATORS && cxx_next[NEW]; i++) {
        cxx_next[i] = dlsym(RTLD_NEXT, cxx_names[i]);
    }
    (void)dlerror(); /* the program must not find our failed look-ups in its first dlerror() */
}

/*
 * True once the next definitions are known.  The first caller looks them up; whoever allocates meanwhile (dlsym
 * itself, in practice: this happens before main) is told false and served from the arena.  Waiting instead could
 * deadlock, since dlsym takes the loader's lock.
 */
static bool resolved(void)
{
    if (LIKELY(atomic_load_explicit(&ready, memory_order_acquire))) {
        return true;
    }
    if (atomic_exchange(&resolving, true)) {
        return false;
    }
    int saved = errno;
    look_up_all();
    errno = saved;
    atomic_store_explicit(&ready, true, memory_order_release);
    return true;
}

__attribute__((constructor)) static void resolve_early(void)
{
    (void)resolved();
}

/* ---- the malloc family ---- */

EXPORT void *malloc(size_t size)
{
    return resolved() ? counted(next.malloc(size), size) : arena_alloc(size);
}

EXPORT void *calloc(size_t count, size_t size)
{
    size_t bytes;
    bool overflow = __builtin_mul_overflow(count, size, &bytes);
    if (!resolved()) {
        return overflow ? NULL : arena_alloc(bytes);
    }
    void *block = counted(next.calloc(count, size), bytes);
    if (block) {
        add(&shard()->callocs, 1);
    }
    return block;
}

/* realloc of a block of the arena: it moves to the allocator and counts as a new block. */
static void *leave_arena(void *block, size_t size)
{
    void *moved = malloc(size);
    if (moved) {
        size_t old = *(size_t *)(void *)((char *)block - 16);
        memcpy(moved, block, old < size ? old : size);
    }
    return moved;
}

static void *count_realloc(void *old, void *moved, size_t size)
{
    if (!old) {
        return counted(moved, size);
    }
    struct count_shard *s = shard();
    if (moved) {
        add(&s->reallocs, 1);
        count_size(s, size);
    } else if (size == 0) {
        count_free();
    } else {
        add(&s->failed, 1);
    }
    return moved;
}

EXPORT void *realloc(void *block, size_t size)
{
    if (in_arena(block)) {
        return leave_arena(block, size);
    }
    if (!resolved()) {
        return block ? NULL : arena_alloc(size);
    }
    return count_realloc(block, next.realloc(block, size), size);
}

EXPORT void *reallocarray(void *block, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        add(&shard()->failed, 1);
        return NULL;
    }
    if (in_arena(block) || !resolved() || !next.reallocarray) {
        return realloc(block, bytes);
    }
    return count_realloc(block, next.reallocarray(block, count, size), bytes);
}

EXPORT void free(void *block)
{
    if (!block || in_arena(block) || !resolved()) {
        return;
    }
    count_free();
    next.free(block);
}

EXPORT void cfree(void *block)
{
    free(block);
}

/* C23's forms: an allocator (or C library) that does not have them gets a plain free, which they promise to equal. */
EXPORT void free_sized(void *block, size_t size)
{
    if (!block || in_arena(block) || !resolved() || !next.free_sized) {
        free(block);
        return;
    }
    count_free();
    next.free_sized(block, size);
}

EXPORT void free_aligned_sized(void *block, size_t alignment, size_t size)
{
    if (!block || in_arena(block) || !resolved() || !next.free_aligned_sized) {
        free(block);
        return;
    }
    count_free();
    next.free_aligned_sized(block, alignment, size);
}

static void *no_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    bool known = resolved() && next.aligned_alloc;
    return known ? counted_aligned(next.aligned_alloc(alignment, size), size) : no_memory();
}

EXPORT void *memalign(size_t alignment, size_t size)
{
    bool known = resolved() && next.memalign;
    return known ? counted_aligned(next.memalign(alignment, size), size) : no_memory();
}

EXPORT int posix_memalign(void **out, size_t alignment, size_t size)
{
    if (!resolved() || !next.posix_memalign) {
        return ENOMEM;
    }
    int error = next.posix_memalign(out, alignment, size);
    (void)counted_aligned(error ? NULL : *out, size);
    return error;
}

EXPORT void *valloc(size_t size)
{
    bool known = resolved() && next.valloc;
    return known ? counted_aligned(next.valloc(size), size) : no_memory();
}

EXPORT void *pvalloc(size_t size)
{
    bool known = resolved() && next.pvalloc;
    return known ? counted_aligned(next.pvalloc(size), size) : no_memory();
}

/* ---- C++ operators ---- */

/*
 * Calls the next definition of a new operator.  There is none when the C++ library was loaded by dlopen into a
 * scope of its own: then malloc does what the operator would.  Without that library no bad_alloc can be thrown
 * either; running out of memory in such a program ends it.
 */
static void *call_new(enum cxx_operator which, size_t size, size_t a, size_t b)
{
    bool is_aligned = which >= NEW_ALIGNED;
    unsigned long before = own_allocations;
    if (resolved() && cxx_next[which]) {
        void *block = (__extension__(void *(*)(size_t, size_t, size_t)) cxx_next[which])(size, a, b);
        if (own_allocations == before) {
            return is_aligned ? counted_aligned(block, size) : counted(block, size);
        }
        return block;
    }
    void *block = is_aligned ? memalign(a, size) : malloc(size);
    bool may_return_null = which == NEW_NOTHROW || which == NEW_ARRAY_NOTHROW || which >= NEW_ALIGNED_NOTHROW;
    if (!block && !may_return_null) {
        abort();
    }
    return block;
}

static void call_delete(enum cxx_operator which, void *block, size_t a, size_t b)
{
    if (!block || in_arena(block)) {
        return;
    }
    if (!resolved() || !cxx_next[which]) {
        free(block);
        return;
    }
    unsigned long before = own_frees;
    (__extension__(void (*)(void *, size_t, size_t)) cxx_next[which])(block, a, b);
    if (own_frees == before) {
        count_free();
    }
}

#define DEFINE_NEW(which, symbol)                                                                                      \
    EXPORT void *operator_##which(size_t, size_t, size_t) __asm__(symbol);                                             \
    void *operator_##which(size_t size, size_t a, size_t b)                                                            \
    {                                                                                                                  \
        return call_new(which, size, a, b);                                                                            \
    }
#define DEFINE_DELETE(which, symbol)                                                                                   \
    EXPORT void operator_##which(void *, size_t, size_t) __asm__(symbol);                                              \
    void operator_##which(void *block, size_t a, size_t b)                                                             \
    {                                                                                                                  \
        call_delete(which, block, a, b);                                                                               \
    }

NEW_OPERATORS(DEFINE_NEW)
DELETE_OPERATORS(DEFINE_DELETE)
