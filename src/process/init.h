/* SPDX-License-Identifier: MIT */
/*
 * init.h - the start of the allocator.
 *
 * The first call into the allocator, whichever it is, starts it.  At that time no constructor may have run, there may
 * be no environment yet, and several threads may call at once.
 *
 *   COLD      nothing exists.  All variables are zero or constant, the hot paths' magazines are hak_tcache_none's
 *   STARTING  one thread, the one that changed COLD to this, makes the first window, the orphan heap and the key whose
 *             destructor sees threads exit, and applies HAKMEM_TUNE if libc has the environment already.  None of that
 *             allocates or takes a lock of libc's.  Other threads wait.  The value names the process.  If another
 * thread
 *             forks meanwhile, the child has nobody who finishes the start: its first call sees its parent's number and
 *             starts anew
 *   READY     for ever.  If memory was out, the state is COLD again: the call fails with ENOMEM, the next one tries
 * again
 *
 * The registration for fork may allocate.  So the first thread that has a heap does it after READY, and no thread waits
 * for it.
 */
#ifndef HAK_INIT_H
#define HAK_INIT_H

#include "base/atomics.h"
#include "base/base.h"

enum hak_init_state { HAK_COLD_START, HAK_READY };
#define HAK_STARTING(process) ((process) << 2 | 2) /* process numbers have 22 bits */

#pragma GCC visibility push(hidden)
extern _Atomic uint32_t hak_init_state;
/* Starts the allocator or waits for the thread that does.  False if there is no memory for it. */
bool hak_start_slow(void);
/* Registers the handlers for fork, once. */
void hak_fork_start(void);
/* Makes all locks free: in the child of a fork during the start, before there were handlers. */
void hak_fork_forget(void);
#pragma GCC visibility pop

HAK_INLINE bool hak_ready(void)
{
    return hak_load_acquire(&hak_init_state) == HAK_READY;
}

/* Starts the allocator if need be.  False if there is no memory for it. */
HAK_INLINE bool hak_start(void)
{
    return HAK_LIKELY(hak_ready()) || hak_start_slow();
}

#endif
