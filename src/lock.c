/* SPDX-License-Identifier: MIT */
/*
 * lock.c - the waiting side of lock.h, and the rank check of debug builds.  Calls os.h only.
 *
 * The three-state mutex is Ulrich Drepper's ("Futexes Are Tricky", 2011, mutex 2) with a short spin before it: the
 * sections it guards are a few hundred instructions, so a holder that runs will be done soon.
 */
#include "lock.h"

#include "invariant.h"
#include "os.h"

#define SPINS 100

void hak_lock_wait(struct hak_lock *lock)
{
    if (hak_tls.fork == HAK_FORK_HOLDS)
        return;
    for (int i = 0; i < SPINS; i++) {
        hak_os_pause();
        if (hak_load(&lock->state) == 0 && hak_lock_take(lock))
            return;
    }
    while (atomic_exchange_explicit(&lock->state, 2, memory_order_acquire) != 0)
        hak_os_wait(&lock->state, 2);
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
