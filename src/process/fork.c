/* SPDX-License-Identifier: MIT */
/*
 * fork.c - makes the child of a many-threaded process whole.  Owns the list of what is locked; takes every lock, in
 * rank order.  Calls lock.h and registry.h, and corrects the counts of limit.h and os.h.
 *
 * The child has one thread.  The parent's other threads were stopped outside of every locked section, but perhaps in
 * the midst of a hot path: their magazines and outboxes are written such that at every instant each block in them is
 * free and nowhere else (tcache.h), so that they can be emptied later, by the first thread that takes one over.
 *
 * A process with one thread takes no lock, as then fork() may be called by a signal handler, which may have interrupted
 * the holder of one.  What was half done goes on in both processes when the handler returns.  With more threads signals
 * wait until the locks are free again.
 */
#include <pthread.h>
#include <signal.h>

#include "process/init.h"
#include "process/thread.h"
#include "pages/large.h"
#include "pages/limit.h"
#include "pages/meta.h"
#include "os/os.h"
#include "heap/registry.h"
#include "purge/pressure.h"
#include "purge/purge.h"
#include "pages/stock.h"
#include "pages/superslab.h"

static void fork_for_each_lock(void (*act)(struct hak_lock *))
{
    act(&hak_pressure_lock);
    act(&hak_purge_lock);
    act(&hak_registry_lock);
    for (uint32_t number = 1; number <= hak_heap_count(); number++)
        act(&hak_heap_numbered(number)->lock);
    for (unsigned i = 0; i < HAK_STOCKS; i++)
        act(&hak_stocks[i].lock);
    act(&hak_super_lock);
    act(&hak_huge_lock);
    act(&hak_window_lock);
    act(&hak_meta_lock);
}

static void fork_take(struct hak_lock *lock)
{
    hak_lock(lock);
}

static void fork_release(struct hak_lock *lock)
{
    hak_unlock(lock);
}

/* glibc's fork takes the lock on the list of open streams, and it does so after the handlers have run.  A thread that
 * holds it may be waiting for one of ours, so it has to be taken first, as glibc does with its own malloc. */
extern void _IO_list_lock(void) __attribute__((weak));
extern void _IO_list_unlock(void) __attribute__((weak));
extern void _IO_list_resetlock(void) __attribute__((weak));

static sigset_t mask_before; /* the forking thread's; under all locks */

static void fork_before(void)
{
    sigset_t all, mask;
    if (HAK_SINGLE_THREADED || hak_tls.fork != HAK_FORK_NONE)
        return;
    hak_thread_tcache(); /* so that no cache is made while all locks are held */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &mask);
    if (_IO_list_lock)
        _IO_list_lock();
    hak_tls.fork = HAK_FORK_TAKES;
    fork_for_each_lock(fork_take);
    hak_tls.fork = HAK_FORK_HOLDS;
    mask_before = mask;
}

static void fork_in_parent(void)
{
    if (hak_tls.fork != HAK_FORK_HOLDS)
        return;
    sigset_t mask = mask_before;
    hak_tls.fork = HAK_FORK_NONE;
    fork_for_each_lock(fork_release);
    if (_IO_list_unlock)
        _IO_list_unlock();
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

/* What other threads had taken off the books and not yet unmapped is lost to the child, and so nothing that it
 * holds. */
static void fork_recount(void)
{
    struct hak_super_counts supers = hak_super_count();
    struct hak_huge_counts huge = hak_huge_count();
    size_t mapped = supers.mapped + huge.bytes + huge.cached + hak_load(&hak_meta_held);
    hak_store(&hak_os_counts.mapped, mapped + huge.stuck);
    hak_store(&hak_limit_held, mapped - supers.free + supers.free_dirty);
}

static void fork_in_child(void)
{
    struct hak_tcache *mine = hak_tcache_mine();
    if (hak_tls.fork != HAK_FORK_HOLDS) { /* only the numbers of process and thread have changed */
        hak_helper_in_process();
        hak_registry_in_process(mine);
        return;
    }
    hak_tls.fork = HAK_FORK_NONE;
    fork_for_each_lock(hak_lock_reset);
    if (_IO_list_resetlock)
        _IO_list_resetlock();
    hak_registry_orphan_all(mine);
    hak_helper_forked();
    hak_pressure_forked();
    fork_recount();
    pthread_sigmask(SIG_SETMASK, &mask_before, NULL);
}

void hak_fork_start(void)
{
    static _Atomic uint32_t registered;
    if (HAK_LIKELY(hak_load(&registered)) || atomic_exchange(&registered, 1))
        return;
    /* If there is no memory for it, the next thread that comes tries again. */
    if (pthread_atfork(fork_before, fork_in_parent, fork_in_child))
        hak_store(&registered, 0);
}

static void fork_forget_lock(struct hak_lock *lock)
{
    atomic_store(&lock->state, 0);
}

void hak_fork_forget(void)
{
    fork_for_each_lock(fork_forget_lock);
}
