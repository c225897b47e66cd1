/* SPDX-License-Identifier: MIT */
/*
 * init.h - the start of the allocator.
 *
 * The first call into the allocator, whichever it is, starts it; there may be no constructor run yet, no environment,
 * and many threads at once.
 *
 *   COLD      nothing exists.  All variables are zero or constant, the hot paths' magazines are hak_tcache_none's
 *   STARTING  one thread, the one that changed COLD to this, makes the first window, the orphan heap and the key whose
 *             destructor sees threads exit, and applies HAKMEM_TUNE if libc has the environment already.  None of that
 *             allocates or takes a lock of libc's.  Other threads wait.  The value names the process: in the child of a
 *             fork in that moment nobody goes on with it, and the first thread that finds so starts afresh
 *   READY     for ever.  If memory was out, back to COLD: the call fails with ENOMEM, and the next one tries again
 *
 * What may allocate (the registration for fork) is done by the first thread that has a heap, after READY and without
 * anybody waiting for it.
 */
#ifndef HAK_INIT_H
#define HAK_INIT_H

#include "base/atomics.h"
#include "base/base.h"

enum hak_init_state { HAK_COLD_START, HAK_READY };
#define HAK_STARTING(process) ((process) << 2 | 2) /* process numbers have 22 bits */

#pragma GCC visibility push(hidden)
extern _Atomic uint32_t hak_init_state;
/* True when the allocator is ready. */
bool hak_start_slow(void);
/* Registers for fork, once. */
void hak_fork_start(void);
/* In the child of a fork before there were handlers for it: nobody holds a lock. */
void hak_fork_forget(void);
#pragma GCC visibility pop

HAK_INLINE bool hak_ready(void)
{
    return hak_load_acquire(&hak_init_state) == HAK_READY;
}

HAK_INLINE bool hak_start(void)
{
    return HAK_LIKELY(hak_ready()) || hak_start_slow();
}

#endif
