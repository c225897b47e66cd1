/* SPDX-License-Identifier: MIT */
/*
 * init.c - the state machine of init.h.  Owns hak_init_state, which orders the threads and needs no lock.  Calls os.h,
 * knobs.h, meta.h, window.h, registry.h, purge.h, fork.c, thread.c and root.c.
 */
#include "process/init.h"

#include "pages/limit.h"
#include "pages/meta.h"
#include "os/os.h"
#include "heap/registry.h"
#include "purge/purge.h"
#include "process/root.h"
#include "knobs/knobs.h"
#include "stats/stats.h"
#include "pages/superslab.h"
#include "base/delay.h"
#include "process/thread.h"
#include "pages/window.h"

_Atomic uint32_t hak_init_state;
extern char **environ;

/* Reads HAKMEM_TUNE.  Called again when the environment is known only later. */
static void init_read_knobs(char **environment)
{
    hak_knobs_read(environment);
    hak_limit_apply();
}

static bool init_start(void)
{
    hak_os_start();
    if (HAK_DEBUG)
        hak_delay_start(environ);
    hak_helper_in_process();
    init_read_knobs(environ);
    hak_super_start();
    if (hak_window_first.units == 0 && !hak_window_start())
        return false;
    if (!hak_registry_start() || !hak_thread_start())
        return false;
    hak_root_start();
    return true;
}

/* Gives up a start that the parent's thread had begun: what it has made is never used. */
static void init_abandon(void)
{
    hak_fork_forget();
    hak_meta_abandon();
    hak_registry_abandon();
    hak_window_first.units = 0;
}

bool hak_start_slow(void)
{
    uint32_t starting = HAK_STARTING(hak_os_pid()), state;
    while ((state = hak_load_acquire(&hak_init_state)) != HAK_READY) {
        if (state == starting) {
            hak_os_wait(&hak_init_state, starting);
            continue;
        }
        if (!atomic_compare_exchange_strong(&hak_init_state, &state, starting))
            continue;
        if (state != HAK_COLD_START)
            init_abandon();
        bool started = init_start();
        hak_store_release(&hak_init_state, started ? HAK_READY : HAK_COLD_START);
        hak_os_wake(&hak_init_state, INT32_MAX);
        return started;
    }
    return true;
}

/*
 * Starts the allocator before the first allocation, where constructors run before it.  The environment is passed on
 * because in a program with shared libraries this constructor may run before libc's: then `environ` is not set yet, but
 * glibc hands the environment to constructors.
 */
__attribute__((constructor)) static void init_constructor(int argc, char **argv, char **environment)
{
    (void)argc;
    (void)argv;
    hak_start();
    hak_os_find_libc();
    init_read_knobs(environ ? environ : environment);
    if (hak_knob_value(force_libc))
        hak_thread_leave();
    else
        hak_thread_tcache();
    hak_dump_start();
}
