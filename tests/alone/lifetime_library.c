/* SPDX-License-Identifier: MIT */
/*
 * lifetime_library.c - a library with a constructor that runs before the program's, and perhaps before libhakmem's,
 * and a destructor that runs after.  Its threads' data and its atexit function live as long.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lifetime.h"

static void (*stage_of_program)(const char *);
static int (*end_of_program)(void);
static char *early[100];

/* Which of the two below comes last depends on how the program is linked. */
static void end_after_both(void)
{
    static int ended;
    if (++ended == 2)
        _exit(end_of_program());
}

static void at_exit(void)
{
    if (!stage_of_program)
        return;
    stage_of_program("atexit of a library, registered in its constructor");
    end_after_both();
}

__attribute__((constructor)) static void constructor(void)
{
    for (size_t i = 0; i < 100; i++) {
        early[i] = malloc(i * i * 5 + 10);
        if (!early[i])
            abort();
        memset(early[i], (int)i, i * i * 5 + 10);
    }
    atexit(at_exit);
}

void lifetime_register(void (*stage)(const char *), int (*end)(void))
{
    stage_of_program = stage;
    end_of_program = end;
}

__attribute__((destructor)) static void destructor(void)
{
    for (size_t i = 0; i < 100; i++) {
        for (size_t k = 0; k < i * i * 5 + 10; k++)
            if (early[i][k] != (char)i)
                abort();
        free(early[i]);
    }
    if (!stage_of_program)
        return;
    stage_of_program("the destructor of a library");
    end_after_both();
}
