/* SPDX-License-Identifier: MIT */
/*
 * lock.c - the waiting side of lock.h, and the rank check of debug builds.  Calls os.h only.
 *
 * The three-state mutex is Ulrich Drepper's ("Futexes Are Tricky", 2011, mutex 2) with a short spin before it: the
 * sections it guards are a few hundred instructions, so a holder that runs will be done soon.
 */
#include "os/lock.h"

#include "os/fatal.h"
#include "os/os.h"

#define SPINS 100
/* A waiting thread looks for itself after LOOK_MS, as the holder may not have seen it, and then after twice as long
 * each time. */
#define LOOK_MS 1u
#define LOOK_MS_MAX 1000u
#define DYING_MS 50u /* a dying thread waits for a lock so long */

/* Waits for a while only, as the holder may be the calling thread itself, in a function further up its stack.
 * Unchecked, as hak_lock_wait() is. */
HAK_UNCHECKED
static void lock_wait_dying(struct hak_lock *lock)
{
    for (unsigned waited = 0; waited < DYING_MS && !hak_lock_take(lock); waited++)
        hak_os_nap();
}

/* The slow half of hak_lock(), which tells the analysis that the lock is taken. */
HAK_UNCHECKED
void hak_lock_wait(struct hak_lock *lock)
{
    if (hak_tls.fork == HAK_FORK_HOLDS)
        return;
    if (hak_tls.fork == HAK_FORK_DIES) {
        lock_wait_dying(lock);
        return;
    }
    for (int i = 0; i < SPINS; i++) {
        hak_os_pause();
        if (hak_load(&lock->state) == 0 && hak_lock_take(lock))
            return;
    }
    hak_store(&lock->crowded, 1);
    for (unsigned wait = LOOK_MS; atomic_exchange(&lock->state, 2) != 0; wait = HAK_MIN(wait * 2, LOOK_MS_MAX))
        hak_os_wait_for(&lock->state, 2, wait);
}

void hak_lock_wake(struct hak_lock *lock)
{
    hak_os_wake(&lock->state, 1);
}

void hak_lock_reset(struct hak_lock *lock)
{
    if (HAK_DEBUG)
        hak_rank_released(lock);
    atomic_store(&lock->state, 0);
}

/* hak_tls.ranks holds one bit for each rank held; several heaps' locks may be held by fork and by a slab's move. */
void hak_rank_taken(const struct hak_lock *lock, bool waited)
{
    if (waited && hak_tls.fork == HAK_FORK_NONE)
        HAK_INVARIANT((hak_tls.ranks >> lock->rank) == 0);
    hak_tls.ranks_held[lock->rank]++;
    hak_tls.ranks |= 1u << lock->rank;
}

void hak_rank_released(const struct hak_lock *lock)
{
    if (--hak_tls.ranks_held[lock->rank] == 0)
        hak_tls.ranks &= ~(1u << lock->rank);
}

void hak_rank_assert(unsigned rank)
{
    HAK_INVARIANT(hak_tls.ranks_held[rank] != 0);
}
