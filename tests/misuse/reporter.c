/* SPDX-License-Identifier: MIT */
/*
 * reporter.c - a program with a crash reporter: its handler of SIGABRT makes every call that reporters make, allocates,
 * frees, forks, begins a thread and takes a backtrace; after each kind of misuse, wherever that is found.  Nothing in it
 * waits for a lock that the interrupted thread holds.  And a report does not keep other threads waiting while standard
 * error is a pipe that is full.
 */
#define _GNU_SOURCE
#include <execinfo.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <stdatomic.h>

#include "misuse.h"

static int said_to; /* where the parent reads the reporter's line */

static void *in_new_thread(void *block)
{
    free(block);
    return malloc(100);
}

static int count_block(void *bytes, void *block, size_t size, int class)
{
    (void)block, (void)class;
    *(size_t *)bytes += size;
    return 0;
}

static void forks(void)
{
    pid_t child = fork();
    if (child == 0) {
        free(malloc(5000));
        malloc_trim(0);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void reporter(int number)
{
    void *frames[50], *blocks[] = {malloc(48), malloc(9000), malloc(300000), malloc(5000000), calloc(100, 10),
                                   aligned_alloc(4096, 100)};
    struct hakmem_stats stats;
    size_t bytes = 0;
    pthread_t thread;
    char **names = backtrace_symbols(frames, backtrace(frames, 50));
    free(names);
    for (size_t i = 0; i < TEST_COUNT(blocks); i++) {
        blocks[i] = realloc(blocks[i], 2 * malloc_usable_size(blocks[i]));
        free(blocks[i]);
    }
    FILE *null = fopen("/dev/null", "w");
    if (null) {
        malloc_info(0, null);
        fclose(null);
    }
    mallinfo2();
    hakmem_stats_get(&stats, sizeof(stats));
    hakmem_walk(count_block, &bytes);
    hakmem_tune_set("depot_budget", 1 << 20);
    mallopt(M_TRIM_THRESHOLD, 1 << 20);
    malloc_trim(0);
    forks();
    if (pthread_create(&thread, NULL, in_new_thread, malloc(100)) == 0) {
        void *result;
        pthread_join(thread, &result);
        free(result);
    }
    (void)!write(said_to, "reported", 8);
    signal(number, SIG_DFL);
    raise(number);
}

/* ---- kinds of misuse, by where they are found ---- */

enum { BLOCKS = 3000 };
static char *blocks[BLOCKS];

/* In the slab, under the heap's lock. */
static void late_double_free(size_t size)
{
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = malloc(size);
    void *again = launder(blocks[5]);
    for (size_t i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    free(again);
    malloc_trim(0);
}

/* In a depot of larger blocks, or in a slab. */
static void late_double_free_large(size_t size)
{
    for (size_t i = 0; i < 100; i++)
        blocks[i] = malloc(size);
    void *again = launder(blocks[5]);
    for (size_t i = 0; i < 100; i++)
        free(blocks[i]);
    free(again);
    malloc_trim(0);
}

/* By a thread's exit. */
static void *free_and_leave(void *block)
{
    void *other = malloc(16), *again = launder(block);
    free(block);
    free(other);
    free(again);
    return NULL;
}

static void by_a_thread(size_t size)
{
    in_thread(free_and_leave, malloc(size));
    malloc_trim(0);
}

static void *allocate_and_leave(void *size)
{
    for (size_t i = 0; i < 1000; i++)
        blocks[i] = malloc(*(size_t *)size);
    void *again = launder(blocks[400]);
    for (size_t i = 0; i < 1000; i += 2)
        free(blocks[i]);
    free(again);
    return NULL;
}

/* By whoever takes the slabs of a thread that has left over. */
static void left_behind(size_t size)
{
    in_thread(allocate_and_leave, &size);
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = malloc(size);
    malloc_trim(0);
}

static void at_once(size_t size)
{
    void *block = malloc(size), *again = launder(block);
    free(block);
    free(again);
}

static void inside(size_t size)
{
    char *block = malloc(size);
    free(launder(block + 16));
    malloc_trim(0);
}

static void foreign(size_t unused)
{
    static char here[64];
    (void)unused;
    free(launder(here));
}

static void wrong_size(size_t size)
{
    hakmem_free_sized(launder(malloc(size)), 3 * size);
}

static void realloc_of_freed(size_t size)
{
    void *block = malloc(size), *again = launder(block);
    free(block);
    free(realloc(again, 2 * size));
    malloc_trim(0);
}

static void usable_size_of_inside(size_t size)
{
    char *block = malloc(size);
    (void)!malloc_usable_size(launder(block + 16));
}

static void in_child(void (*act)(size_t), size_t size, int end)
{
    struct rlimit none = {0, 0};
    int null = open("/dev/null", O_WRONLY);
    setrlimit(RLIMIT_CORE, &none);
    dup2(null, STDERR_FILENO);
    said_to = end;
    signal(SIGABRT, reporter);
    alarm(test_patience(20));
    act(size);
    _exit(0);
}

static void reports(const char *name, void (*act)(size_t), size_t size)
{
    int ends[2], status = 0;
    char said[16] = {0};
    if (pipe(ends)) {
        tap_ok(0, "%s: pipe", name);
        return;
    }
    pid_t child = fork();
    if (child == 0)
        in_child(act, size, ends[1]);
    close(ends[1]);
    waitpid(child, &status, 0);
    ssize_t length = read(ends[0], said, sizeof(said) - 1);
    close(ends[0]);
    if (!tap_ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && length == 8, "%s, %zu bytes", name, size))
        tap_note("status %#x%s", (unsigned)status, length == 8 ? "" : ", and the reporter did not come to its end");
}

#define reports_each(name, act, ...) run_each(reports, name, act, __VA_ARGS__)

/* ---- a full pipe ---- */

static atomic_int begun;

static void *misuse_and_trim(void *unused)
{
    atomic_store(&begun, 1);
    late_double_free(1000);
    return unused;
}

static void *work(void *unused)
{
    for (size_t i = 0; i < 300; i++)
        free(malloc(1000 + i));
    malloc_trim(0);
    return unused;
}

static void fill_pipe(int end)
{
    static const char some[4096];
    fcntl(end, F_SETFL, O_NONBLOCK);
    while (write(end, some, sizeof(some)) > 0)
        ;
    while (write(end, some, 1) > 0)
        ;
    fcntl(end, F_SETFL, 0);
}

static void others_go_on(int end)
{
    pthread_t wrong;
    struct pollfd full = {.fd = end, .events = POLLIN};
    fill_pipe(STDERR_FILENO);
    if (pthread_create(&wrong, NULL, misuse_and_trim, NULL) != 0)
        _exit(1);
    while (!atomic_load(&begun))
        poll(NULL, 0, 1);
    /* The other thread is at its write by then, or the test sees nothing. */
    poll(&full, 0, 200);
    work(NULL);
    hakmem_tune_set("depot_budget", 1 << 20);
    fork() == 0 ? _exit(0) : (void)0;
    _exit(0);
}

static void full_pipe(void)
{
    int ends[2], status = 0;
    if (pipe(ends)) {
        tap_ok(0, "pipe");
        return;
    }
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        alarm(test_patience(20));
        others_go_on(ends[0]);
    }
    waitpid(child, &status, 0);
    close(ends[0]);
    close(ends[1]);
    tap_ok(status == 0, "a report waits for a full pipe, and no other thread with it: status %#x", (unsigned)status);
}

int main(void)
{
    if (TEST_SANITIZER) {
        puts("1..0 # SKIP a sanitizer has malloc");
        return 0;
    }
    tap_watchdog(120);
    reports_each("late double free", late_double_free, {16, 100, 1000, 5000});
    reports_each("late double free", late_double_free_large, {9000, 32768, 131072});
    reports_each("double free by a thread that exits", by_a_thread, {48, 1000, 32768});
    reports_each("double free by a thread that has exited", left_behind, {48, 1000, 9000});
    reports_each("double free at once", at_once, {48, 32768, 300000, 5000000});
    reports_each("a pointer into a block", inside, {48, 1000, 32768, 300000, 5000000});
    reports("a foreign pointer", foreign, 0);
    reports_each("a wrong size", wrong_size, {48, 1000, 300000, 5000000});
    reports_each("realloc of a freed block", realloc_of_freed, {48, 300000, 5000000});
    reports_each("the usable size of a pointer into a block", usable_size_of_inside, {48, 300000, 5000000});
    if (hakmem_tune_set("on_misuse", 1) == HAKMEM_TUNE_OK)
        full_pipe();
    else
        tap_skip("a full pipe", "the knobs of this build are constants");
    return tap_end();
}
