/* SPDX-License-Identifier: MIT */
/*
 * dump.c - writes the statistics to standard error when the process exits (stats_at_exit) or a signal comes
 * (stats_signal).  Owns the signal's handler.  Never waits for a lock without end, as the thread itself may hold one
 * where it calls exit() or gets the signal: after some tries the structures are read without the lock.  Calls stats.h,
 * knobs.h and os.h.
 */
#include <signal.h>

#include "os/os.h"
#include "knobs/knobs.h"
#include "stats/stats.h"

#define TRIES 20u /* a millisecond apart: another thread holds a lock for less */

static bool dump_print(enum hakmem_stats_format format, enum hak_patience patience)
{
    struct hak_view view;
    if (!hak_stats_view(&view, patience))
        return false;
    view.counts.resident = hak_os_resident();
    return hak_stats_print(&view, format, hak_stats_write_stderr, NULL);
}

static void dump_all(enum hakmem_stats_format format)
{
    for (unsigned i = 0; i < TRIES; i++) {
        if (dump_print(format, HAK_LOCK_TRY))
            return;
        hak_os_nap();
    }
    dump_print(format, HAK_LOCK_SKIP);
}

static enum hakmem_stats_format dump_format_of(uint64_t choice)
{
    return choice == HAK_DUMP_NO ? HAKMEM_STATS_TEXT : (enum hakmem_stats_format)(choice - HAK_DUMP_TEXT);
}

/* A signal without stats_at_exit writes text. */
static void dump_on_signal(int number)
{
    (void)number;
    dump_all(dump_format_of(hak_knob_value(stats_at_exit)));
}

void hak_dump_start(void)
{
    int number = (int)hak_knob_value(stats_signal);
    struct sigaction now, action = {.sa_handler = dump_on_signal, .sa_flags = SA_RESTART};
    /* A handler that the program has installed stays. */
    if (number && sigaction(number, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL)
        sigaction(number, &action, NULL);
}

__attribute__((destructor)) static void dump_at_exit(void)
{
    uint64_t choice = hak_knob_value(stats_at_exit);
    if (choice != HAK_DUMP_NO)
        dump_all(dump_format_of(choice));
}
