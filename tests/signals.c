/* SPDX-License-Identifier: MIT */
/*
 * signals.c - what a signal's handler may do: fork, in a process with one thread, whatever was interrupted; and
 * anything at all, after the allocator has found its own structures broken, whatever locks are held.
 */
#include <errno.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "base/base.h"
#include "heap/registry.h"
#include "os/fatal.h"
#include "os/lock.h"
#include "pages/large.h"
#include "pages/meta.h"
#include "pages/superslab.h"
#include "purge/purge.h"
#include "stats/verify.h"

#include "hakmem.h"
#include "tap.h"

enum { BLOCKS = 2000, FORKS = 60 };
static void *blocks[BLOCKS];
static volatile sig_atomic_t forks, wrong;

/* The child goes on where the parent was interrupted, and ends when it has seen that its heap works. */
static volatile sig_atomic_t is_child;

static void forks_now(int number)
{
    int saved = errno, status = -1;
    (void)number;
    if (is_child)
        return;
    pid_t child = fork();
    if (child == 0) {
        is_child = 1;
        alarm(test_patience(20));
        return;
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        wrong = 1;
    forks++;
    errno = saved;
}

static void round_of_work(void)
{
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = hakmem_malloc(i % 500 ? 100 + i * 7 : 1500000);
    for (size_t i = 0; i < BLOCKS; i++)
        hakmem_free(blocks[i]);
    hakmem_malloc_trim(0);
}

/* Of the time that this process computes. */
static void every(suseconds_t microseconds)
{
    struct itimerval often = {{0, microseconds}, {0, microseconds}};
    setitimer(ITIMER_VIRTUAL, &often, NULL);
}

static void fork_in_handler(void)
{
    struct sigaction action = {.sa_handler = forks_now, .sa_flags = SA_RESTART};
    if (TEST_TSAN) {
        tap_skip("fork in a handler", "ThreadSanitizer takes what libc does there for an error");
        return;
    }
    if (!HAK_SINGLE_THREADED) {
        tap_skip("fork in a handler", "the C library does not say that a process has one thread");
        return;
    }
    hakmem_tune_set("purge_thread", 0);
    sigaction(SIGVTALRM, &action, NULL);
    every(1000);
    for (unsigned long most = test_scale(FORKS); (unsigned long)forks < most && !wrong;) {
        round_of_work();
        if (is_child) {
            round_of_work();
            hak_verify();
            _exit(0);
        }
    }
    every(0);
    signal(SIGVTALRM, SIG_DFL);
    tap_ok(!wrong, "fork in a handler, wherever it comes: %d forks", (int)forks);
    hak_verify();
}

/* ---- after an internal error ---- */

static void reporter(int number)
{
    void *mine[] = {hakmem_malloc(48), hakmem_malloc(9000), hakmem_malloc(300000), hakmem_malloc(5000000)};
    for (size_t i = 0; i < TEST_COUNT(mine); i++)
        hakmem_free(mine[i]);
    hakmem_malloc_trim(0);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
    signal(number, SIG_DFL);
    raise(number);
}

static struct hak_lock *one_heaps_lock(void)
{
    return &hak_heap_numbered(2)->lock;
}

/* The child ends with the lock held. */
HAK_UNCHECKED static void breaks_under(struct hak_lock *lock, const char *name)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        close(STDERR_FILENO);
        signal(SIGABRT, reporter);
        alarm(test_patience(20));
        hak_lock(lock);
        HAK_REQUIRE(lock == NULL);
    }
    waitpid(child, &status, 0);
    tap_ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "an internal error under %s: status %#x", name,
           (unsigned)status);
}

int main(void)
{
    tap_watchdog(120);
    hakmem_free(hakmem_malloc(100));
    fork_in_handler();
    breaks_under(&hak_purge_lock, "the lock on what is on its way to the kernel");
    breaks_under(&hak_registry_lock, "the lock on the table of heaps");
    breaks_under(one_heaps_lock(), "a heap's lock");
    breaks_under(&hak_super_lock, "the superslabs' lock");
    breaks_under(&hak_huge_lock, "the lock on huge blocks");
    breaks_under(&hak_meta_lock, "the lock on metadata");
    return tap_end();
}
