/* SPDX-License-Identifier: MIT */
/*
 * init.c - the state machine of init.h.  Owns hak_init_state, which orders threads by itself.  Calls os.h, meta.h,
 * window.h, pool.h, fork.c and thread.c.
 */
#include "init.h"

#include "meta.h"
#include "os.h"
#include "pool.h"
#include "purge.h"
#include "superslab.h"
#include "thread.h"
#include "window.h"

_Atomic uint32_t hak_init_state;

static bool start(void)
{
    hak_os_start();
    hak_helper_in_process();
    hak_super_start();
    if (hak_window_first.units == 0 && !hak_window_start())
        return false;
    return hak_pool_start() && hak_thread_start();
}

/* Whatever the parent's thread was in the midst of stays as it is and is not used. */
static void abandon(void)
{
    hak_fork_forget();
    hak_meta_abandon();
    hak_pool_abandon();
    hak_window_first.units = 0;
}

bool hak_start_slow(void)
{
    uint32_t starting = HAK_STARTING(hak_os_process()), state;
    while ((state = hak_load_acquire(&hak_init_state)) != HAK_READY) {
        if (state == starting) {
            hak_os_wait(&hak_init_state, starting);
            continue;
        }
        if (!atomic_compare_exchange_strong(&hak_init_state, &state, starting))
            continue;
        if (state != HAK_COLD_START)
            abandon();
        bool started = start();
        hak_store_release(&hak_init_state, started ? HAK_READY : HAK_COLD_START);
        hak_os_wake(&hak_init_state, INT32_MAX);
        return started;
    }
    return true;
}

/* Nothing depends on it having run: it only moves the start out of the first allocation where constructors do run
 * before that. */
__attribute__((constructor)) static void start_early(void)
{
    hak_thread_self();
    hak_os_find_libc();
}
