/* SPDX-License-Identifier: MIT */
/*
 * lock.h - the locks and their order.
 *
 * A thread that holds a lock may only take locks of a higher rank (hak_lock_try excepted: it never waits).  Fork takes
 * all of them, in rank order, the heaps' in the order of their numbers.  Checked at run time in a debug build.
 *
 * Between fork's two handlers the forking thread holds every lock (HAK_FORK_HOLDS).  Handlers of others that run then
 * may allocate, so for that thread taking and releasing a lock do nothing.  A thread that aborts because of a broken
 * structure (HAK_FORK_DIES) may hold some: its handler of SIGABRT waits for a lock for a while only and goes on.
 */
#ifndef HAK_LOCK_H
#define HAK_LOCK_H

#include "base/annotate.h"
#include "base/atomics.h"
#include "base/base.h"
#include "base/tls.h"

enum hak_rank {
    HAK_RANK_PRESSURE = 1, /* pressure.c: the program's callback for memory pressure */
    HAK_RANK_PURGE,     /* pass.c: memory that is on its way back to the kernel */
    HAK_RANK_REGISTRY,  /* registry.c: the table of all heaps and the caches that no thread has */
    HAK_RANK_HEAP,      /* one heap's slabs, depots and counts */
    HAK_RANK_STOCK,     /* stock.c: one heap's freed large blocks */
    HAK_RANK_SUPER,     /* superslab.c: which units are free */
    HAK_RANK_HUGE,      /* huge.c: the table of huge blocks and the cache of mappings */
    HAK_RANK_WINDOW,    /* window.c: where windows grow */
    HAK_RANK_META,      /* meta.c: memory for the allocator's own structures */
};

/*
 * Until some thread has had to wait for a lock, a store releases it.  From then on an exchange does, which also tells
 * whether to wake a thread, and costs ten times as much.  A holder that does not see `crowded` yet wakes nobody, so
 * waiting threads look for themselves now and then.
 */
struct HAK_CAPABILITY("lock") hak_lock {
    _Atomic uint32_t state; /* 0 free, 1 taken, 2 taken and a thread may be waiting */
    _Atomic uint16_t crowded; /* some thread has had to wait, once */
    uint16_t rank;
};

#define HAK_LOCK_INIT(rank) {0, 0, rank}
/* Stands before the definition of a lock that all threads share: nothing else is in its cache line, so that waiting
 * threads slow nothing else down. */
#define HAK_LOCK_ALONE __attribute__((aligned(HAK_LINE), section("hak_locks")))

#pragma GCC visibility push(hidden)

void hak_lock_wait(struct hak_lock *lock);
void hak_lock_wake(struct hak_lock *lock);
/* Frees the lock in the child of a fork, where no other thread can hold it or wait for it. */
void hak_lock_reset(struct hak_lock *lock);
void hak_rank_taken(const struct hak_lock *lock, bool waited);
void hak_rank_released(const struct hak_lock *lock);
void hak_rank_assert(unsigned rank);

#pragma GCC visibility pop

/* What clang is told of the functions below (annotate.h). */
HAK_INLINE bool hak_lock_take(struct hak_lock *lock) HAK_TRY_ACQUIRES(*lock) HAK_UNCHECKED;
HAK_INLINE bool hak_lock_try(struct hak_lock *lock) HAK_TRY_ACQUIRES(*lock) HAK_UNCHECKED;
HAK_INLINE void hak_lock(struct hak_lock *lock) HAK_ACQUIRES(*lock) HAK_UNCHECKED;
HAK_INLINE void hak_unlock(struct hak_lock *lock) HAK_RELEASES(*lock) HAK_UNCHECKED;
HAK_INLINE void hak_lock_assert_held(const struct hak_lock *lock) HAK_ASSERTS(*lock) HAK_UNCHECKED;

/* Takes the lock if it is free, without a check of ranks.  In a process with one thread no operation need be atomic. */
HAK_INLINE bool hak_lock_take(struct hak_lock *lock)
{
    uint32_t expected = 0;
    if (HAK_SINGLE_THREADED && hak_load(&lock->state) == 0) {
        hak_store(&lock->state, 1);
        return true;
    }
    return atomic_compare_exchange_strong_explicit(&lock->state, &expected, 1, memory_order_acquire,
                                                   memory_order_relaxed);
}

HAK_INLINE bool hak_lock_try(struct hak_lock *lock)
{
    bool taken = hak_lock_take(lock);
    if (HAK_DEBUG && taken)
        hak_rank_taken(lock, false);
    return taken;
}

HAK_INLINE void hak_lock(struct hak_lock *lock)
{
    if (HAK_DEBUG)
        hak_rank_taken(lock, true);
    HAK_DELAY();
    if (HAK_UNLIKELY(!hak_lock_take(lock)))
        hak_lock_wait(lock);
    HAK_DELAY();
}

HAK_INLINE void hak_unlock(struct hak_lock *lock)
{
    if (HAK_DEBUG)
        hak_rank_released(lock);
    if (HAK_UNLIKELY(hak_tls.fork == HAK_FORK_HOLDS))
        return;
    if (HAK_LIKELY(!hak_load(&lock->crowded)))
        hak_store_release(&lock->state, 0);
    else if (HAK_UNLIKELY(atomic_exchange_explicit(&lock->state, 0, memory_order_release) == 2))
        hak_lock_wake(lock);
}

/* A debug build ends here unless this thread holds a lock of this rank. */
HAK_INLINE void hak_lock_assert_rank(enum hak_rank rank)
{
    if (HAK_DEBUG)
        hak_rank_assert(rank);
}

HAK_INLINE void hak_lock_assert_held(const struct hak_lock *lock)
{
    hak_lock_assert_rank((enum hak_rank)lock->rank);
}

#endif
