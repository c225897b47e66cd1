/* SPDX-License-Identifier: MIT */
/*
 * misuse.h - runs one act of misuse in a child process and compares how it ended: by SIGABRT, with exactly the line
 * on standard error that the act announced by expect() just before.  Who says it and how to get a backtrace, which
 * every such line begins and ends with, is not announced.
 */
#ifndef HAKMEM_TESTS_MISUSE_H
#define HAKMEM_TESTS_MISUSE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* program_invocation_short_name */
#endif
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "hakmem.h"
#include "../tap.h"

/* Every kind of block: classes of all sorts, a span, a mapping. */
#define MISUSE_SMALL {0, 16, 48, 1000, 5000, 32768, 100000, 131072}
#define MISUSE_BIG {131073, 300000, 1048576, 1048577, 5000000, 200000000}

static struct {
    char lines[3][256];
} *expected;

__attribute__((format(printf, 2, 3))) static inline void expect_line(int which, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(expected->lines[which], sizeof(expected->lines[which]), format, arguments);
    va_end(arguments);
}

/* What the program must say, without the newline. */
#define expect(...) expect_line(0, __VA_ARGS__)
/* What it may say instead. */
#define or_expect(...) expect_line(expected->lines[1][0] ? 2 : 1, __VA_ARGS__)

static inline void expect_double_free(void *block)
{
    expect("hakmem: double free of %p (block of %zu bytes)", block, hakmem_malloc_usable_size(block));
}

/* For blocks whose slab is gone, or mapping long gone: which blocks the program had there is then not known any more. */
static inline void or_expect_dead(const char *call, const void *block)
{
    or_expect("hakmem: %s of %p, which is no block: freed before, or never allocated", call, block);
}

/* A pointer the compiler knows nothing of: it warns of some kinds of misuse, rightly, and cannot be told otherwise. */
static inline void *launder(const void *pointer)
{
    union {
        const void *given;
        void *volatile laundered;
    } way = {pointer};
    return way.laundered;
}

static inline void in_thread(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, function, argument) == 0)
        pthread_join(thread, NULL);
}

/* Leaves "hakmem: what" of "hakmem: program[process]: what; backtrace: command"; false, with nothing done, if the line
 * is not like that. */
static inline int misuse_strip(char *line, pid_t process, const char *before_gdb)
{
    char begin[256], end[256];
    int begins = snprintf(begin, sizeof(begin), "hakmem: %.32s[%d]: ", program_invocation_short_name, (int)process);
    int ends = snprintf(end, sizeof(end), "; backtrace: %sgdb -ex run -ex bt --args %.32s ...", before_gdb,
                        program_invocation_short_name);
    size_t length = strlen(line), around = (size_t)(begins + ends), name = strlen("hakmem: ");
    if (length < around || strncmp(line, begin, (size_t)begins) || strcmp(line + length - ends, end))
        return 0;
    memmove(line + name, line + begins, length - around);
    line[name + length - around] = '\0';
    return 1;
}

static inline void misuse_run(const char *name, void (*act)(size_t), size_t argument)
{
    int pipe_ends[2], status = 0;
    char said[1024];
    size_t length = 0;
    ssize_t got;
    if (!expected)
        expected = mmap(NULL, sizeof(*expected), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(expected, 0, sizeof(*expected));
    if (pipe(pipe_ends)) {
        tap_ok(0, "%s: pipe", name);
        return;
    }
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        dup2(pipe_ends[1], STDERR_FILENO);
        close(pipe_ends[0]);
        close(pipe_ends[1]);
        act(argument);
        _exit(0);
    }
    close(pipe_ends[1]);
    while (length < sizeof(said) - 1 && (got = read(pipe_ends[0], said + length, sizeof(said) - 1 - length)) > 0)
        length += (size_t)got;
    said[length] = '\0';
    close(pipe_ends[0]);
    waitpid(child, &status, 0);

    /* qemu-user has a line of its own to say of a program that dies of a signal. */
    char *emulator = strstr(said, "qemu: ");
    if (emulator)
        *emulator = '\0';
    length = strlen(said);

    int aborted = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
    int line_ends = length > 0 && said[length - 1] == '\n';
    if (line_ends)
        said[length - 1] = '\0';
    line_ends = line_ends && misuse_strip(said, child, "");
    int right = 0;
    for (size_t i = 0; i < TEST_COUNT(expected->lines); i++)
        right = right || (line_ends && expected->lines[i][0] && !strcmp(said, expected->lines[i]));
    if (!tap_ok(aborted && right, "%s, %zu bytes", name, argument)) {
        for (size_t i = 0; i < TEST_COUNT(expected->lines); i++)
            if (expected->lines[i][0])
                tap_note("%s: %s", i ? "or" : "expected SIGABRT and", expected->lines[i]);
        tap_note("status %#x, and: %s", (unsigned)status, said);
    }
}

#define run_each(run, name, act, ...) \
    do { \
        static const size_t sizes_[] = __VA_ARGS__; \
        for (size_t i_ = 0; i_ < TEST_COUNT(sizes_); i_++) \
            run((name), (act), sizes_[i_]); \
    } while (0)
#define misuse_each(name, act, ...) run_each(misuse_run, name, act, __VA_ARGS__)

#endif
