/* SPDX-License-Identifier: MIT */
/*
 * fork.c - makes the child of a many-threaded process whole.  Owns the list of what is locked; takes every lock, in
 * rank order.  Calls lock.h and pool.h.
 *
 * The child has one thread.  The parent's other threads were stopped outside of every locked section, but perhaps in
 * the midst of a hot path: their magazines and outboxes are written such that at every instant each block in them is
 * free and nowhere else (cache.h), so that they can be emptied later, by the first thread that takes one over.
 */
#include <pthread.h>

#include "init.h"
#include "large.h"
#include "meta.h"
#include "pool.h"
#include "superslab.h"

static void for_each_lock(void (*act)(struct hak_lock *))
{
    act(&hak_pool_lock);
    for (uint32_t number = 1; number <= hak_heap_count(); number++)
        act(&hak_heap_numbered(number)->lock);
    act(&hak_super_lock);
    act(&hak_huge_lock);
    act(&hak_meta_lock);
}

static void take(struct hak_lock *lock)
{
    hak_lock(lock);
}

static void release(struct hak_lock *lock)
{
    hak_unlock(lock);
}

static void before(void)
{
    hak_thread_self(); /* so that no cache is made while all locks are held */
    hak_tls.fork = HAK_FORK_TAKES;
    for_each_lock(take);
    hak_tls.fork = HAK_FORK_HOLDS;
}

static void in_parent(void)
{
    hak_tls.fork = HAK_FORK_NONE;
    for_each_lock(release);
}

static void in_child(void)
{
    hak_tls.fork = HAK_FORK_NONE;
    for_each_lock(hak_lock_reset);
    hak_pool_orphan_all(hak_tls.state == HAK_THREAD_ATTACHED ? hak_thread_self() : NULL);
}

void hak_fork_start(void)
{
    static _Atomic uint32_t registered;
    if (HAK_LIKELY(hak_load(&registered)) || atomic_exchange(&registered, 1))
        return;
    pthread_atfork(before, in_parent, in_child);
}
