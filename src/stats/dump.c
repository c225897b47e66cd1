/* SPDX-License-Identifier: MIT */
/*
 * dump.c - the statistics on standard error, when the process exits and when a signal comes, if asked for.  Owns the
 * signal's handler.  Never waits for a lock without end: exit may have been called, and the signal have come, where the
 * thread holds one; after some tries it reads all the same.  Calls stats.h, knobs.h and os.h.
 */
#include <signal.h>

#include "os/os.h"
#include "knobs/knobs.h"
#include "stats/stats.h"

#define TRIES 20u /* a millisecond apart: whoever holds a lock does not for long, if it is not this thread */

static bool print(enum hakmem_stats_format format, enum hak_patience patience)
{
    struct hak_view view;
    if (!hak_stats_view(&view, patience))
        return false;
    view.counts.resident = hak_os_resident();
    return hak_stats_print(&view, format, hak_stats_write_stderr, NULL);
}

static void dump(enum hakmem_stats_format format)
{
    for (unsigned i = 0; i < TRIES; i++) {
        if (print(format, HAK_LOCK_TRY))
            return;
        hak_os_nap();
    }
    print(format, HAK_LOCK_SKIP);
}

static enum hakmem_stats_format format_of(uint64_t choice)
{
    return choice == HAK_DUMP_NO ? HAKMEM_STATS_TEXT : (enum hakmem_stats_format)(choice - HAK_DUMP_TEXT);
}

static void signalled(int number)
{
    (void)number;
    dump(format_of(hak_knob_value(stats_at_exit)));
}

void hak_dump_start(void)
{
    int number = (int)hak_knob_value(stats_signal);
    struct sigaction now, action = {.sa_handler = signalled, .sa_flags = SA_RESTART};
    /* A program's own handler goes first. */
    if (number && sigaction(number, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL)
        sigaction(number, &action, NULL);
}

__attribute__((destructor)) static void exits(void)
{
    uint64_t choice = hak_knob_value(stats_at_exit);
    if (choice != HAK_DUMP_NO)
        dump(format_of(choice));
}
