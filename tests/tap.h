/* SPDX-License-Identifier: MIT */
/*
 * tap.h - the Test Anything Protocol for programs that run on the allocator under test.
 *
 * Nothing here allocates and output goes straight to write(2): a program may report from a constructor, from a
 * resolver before relocation has ended, or after malloc has failed.
 */
#ifndef HAKMEM_TESTS_TAP_H
#define HAKMEM_TESTS_TAP_H

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common.h"

static int tap_tests;
static int tap_failures;

static inline void tap_write(const char *text, size_t length)
{
    while (length) {
        ssize_t done = write(STDOUT_FILENO, text, length);
        if (done <= 0)
            return;
        text += done;
        length -= (size_t)done;
    }
}

__attribute__((format(printf, 1, 2))) static inline void tap_note(const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line + 2, sizeof(line) - 3, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    if ((size_t)length > sizeof(line) - 4)
        length = sizeof(line) - 4;
    line[0] = '#';
    line[1] = ' ';
    line[2 + length] = '\n';
    tap_write(line, (size_t)length + 3);
}

/* One test: `good` says whether it passed, the text what it was about. */
__attribute__((format(printf, 2, 3))) static inline int tap_ok(int good, const char *format, ...)
{
    char text[400], line[480];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    tap_tests++;
    tap_failures += !good;
    int length = snprintf(line, sizeof(line), "%s %d - %s\n", good ? "ok" : "not ok", tap_tests, text);
    tap_write(line, (size_t)length);
    return good;
}

static inline void tap_skip(const char *what, const char *why)
{
    char line[480];
    tap_tests++;
    int length = snprintf(line, sizeof(line), "ok %d - %s # SKIP %s\n", tap_tests, what, why);
    tap_write(line, (size_t)length);
}

static inline int tap_end(void)
{
    char line[32];
    int length = snprintf(line, sizeof(line), "1..%d\n", tap_tests);
    tap_write(line, (size_t)length);
    return tap_failures != 0;
}

static inline void tap_bark(int signal_number)
{
    static const char text[] = "Bail out! the watchdog found the test hanging\n";
    (void)signal_number;
    (void)!write(STDOUT_FILENO, text, sizeof(text) - 1);
    _exit(99);
}

/* Ends the process if it still runs after what its patience makes of `seconds`. */
static inline void tap_watchdog(unsigned seconds)
{
    signal(SIGALRM, tap_bark);
    alarm(test_patience(seconds));
}

#endif
