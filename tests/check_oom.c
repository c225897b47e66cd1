/* SPDX-License-Identifier: MIT */
/*
 * check_oom.c - out of memory: a scenario that needs every kind of memory runs again and again in fresh processes,
 * and each time the next one of its system calls is refused by the kernel, alone or with all that follow.
 *
 * Whatever call then fails says ENOMEM; everything allocated before and after is intact and can be freed; and when
 * the kernel gives memory again, everything works again.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suite.h"

#include "os/os.h"
#include "stats/verify.h"

#define BLOCKS 6000

struct block {
    unsigned char *address;
    size_t size;
};

static struct block blocks[BLOCKS];
static size_t count;
static size_t refused;

/* In these processes it is the exit status that tells. */
enum { SAID_NOTHING_FAILED = 0, SAID_SOMETHING_FAILED = 1, SAID_WRONG = 2 };

#define MUST(condition, ...) ((condition) ? (void)0 : wrong(__LINE__, __VA_ARGS__))

__attribute__((noreturn, format(printf, 2, 3))) static void wrong(int line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "check_oom.c:%d: ", line);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    _exit(SAID_WRONG);
}

static void note(void *address, size_t size, const char *call)
{
    if (!address) {
        MUST(errno == ENOMEM, "%s of %zu bytes failed with errno %d", call, size, errno);
        refused++;
        return;
    }
    MUST(errno == 0, "%s of %zu bytes succeeded and set errno to %d", call, size, errno);
    MUST(count < BLOCKS, "too many blocks");
    blocks[count] = (struct block){address, size};
    pattern_fill(address, size, count);
    count++;
}

static void allocate(size_t size)
{
    errno = 0;
    void *address = hakmem_malloc(size);
    note(address, size, "malloc");
}

static void allocate_zero(size_t size)
{
    errno = 0;
    void *address = hakmem_calloc(size, 1);
    if (address)
        MUST(first_nonzero(address, size) == SIZE_MAX, "calloc of %zu bytes is not zero", size);
    note(address, size, "calloc");
}

static void allocate_aligned(size_t alignment, size_t size)
{
    void *address = &address;
    errno = 0;
    int error = hakmem_posix_memalign(&address, alignment, size);
    if (error) {
        MUST(error == ENOMEM && address == &address && errno == 0, "posix_memalign: %d, errno %d", error, errno);
        errno = error;
        address = NULL;
    }
    MUST((uintptr_t)address % alignment == 0, "posix_memalign(%zu)", alignment);
    note(address, size, "posix_memalign");
}

static void resize(size_t index, size_t size)
{
    struct block *block = &blocks[index];
    errno = 0;
    void *address = hakmem_realloc(block->address, size);
    if (!address) {
        MUST(errno == ENOMEM, "realloc failed with errno %d", errno);
        MUST(pattern_check(block->address, block->size, index) == SIZE_MAX, "a failed realloc changed the block");
        refused++;
        return;
    }
    size_t least = size < block->size ? size : block->size;
    MUST(pattern_check_part(address, least, block->size, index) == SIZE_MAX, "realloc to %zu lost contents", size);
    *block = (struct block){address, size};
    pattern_fill(address, size, index);
}

static void release(size_t index)
{
    errno = 0;
    MUST(pattern_check(blocks[index].address, blocks[index].size, index) == SIZE_MAX, "block %zu changed", index);
    hakmem_free(blocks[index].address);
    MUST(errno == 0, "free set errno to %d", errno);
    blocks[index] = blocks[--count];
    if (index < count)
        pattern_fill(blocks[index].address, blocks[index].size, index);
}

static long calls_before_thread; /* made by the scenario until then */

static void *in_thread(void *unused)
{
    for (size_t size = 16; size < 100000; size += size / 2)
        allocate(size);
    for (size_t i = 0; i < count; i += 7)
        release(i);
    return unused;
}

/* Needs memory for metadata, slabs of all classes, spans, mappings, their growth, heaps of threads, and outboxes. */
static void scenario(void)
{
    pthread_t thread;
    hakmem_free(NULL);
    for (size_t size = 16; size <= 6 * TEST_MIB; size += size / 4)
        allocate(size);
    for (size_t i = 0; i < 2000; i++)
        allocate(3000);
    for (size_t i = 0; i < 20; i++)
        allocate_zero(200000 + i * 50000);
    for (size_t alignment = 32; alignment <= 16 * TEST_MIB; alignment *= 4)
        allocate_aligned(alignment, 100000);
    for (size_t i = 0; i < 30 && i < count; i++)
        resize(i, blocks[i].size * 3);
    for (size_t i = count > 20 ? count - 20 : 0; i < count; i++)
        resize(i, 2 * TEST_MIB + i * 4096);
    calls_before_thread = atomic_load(&hak_os_calls);
    /* If there is no memory for a thread's stack either, main does its work. */
    if (pthread_create(&thread, NULL, in_thread, NULL) == 0)
        pthread_join(thread, NULL);
    else
        in_thread(NULL);
    for (size_t i = 0; i < count; i += 3)
        release(i);
    hakmem_malloc_trim(0);
    for (size_t size = 20; size <= 2 * TEST_MIB; size += size / 3)
        allocate_zero(size);
}

static void all_intact(void)
{
    for (size_t i = 0; i < count; i++)
        MUST(pattern_check(blocks[i].address, blocks[i].size, i) == SIZE_MAX, "block %zu of %zu bytes changed", i,
             blocks[i].size);
}

static int refuse(long number, int once)
{
    atomic_store(&hak_os_calls, 0);
    atomic_store(&hak_os_fail_once, once);
    atomic_store(&hak_os_fail_after, number);
    scenario();
    all_intact();
    long calls = atomic_load(&hak_os_calls);
    atomic_store(&hak_os_fail_after, -1);
    hak_verify();
    /* Memory is back: so must be everything that could not be done. */
    size_t before = refused;
    for (size_t size = 16; size <= 3 * TEST_MIB; size += size / 5)
        allocate(size);
    allocate_aligned(4 * TEST_MIB, 5 * TEST_MIB);
    allocate_zero(300000);
    MUST(refused == before, "with memory again, %zu calls failed", refused - before);
    all_intact();
    hak_verify();
    while (count)
        release(count / 2);
    hakmem_malloc_trim(0);
    hak_verify();
    /* With only one call refused the allocator may know another way, as with the last few: a block that cannot grow where
     * it is moves to where there is room.  A thread that gets no cache uses the orphan heap. */
    enum { ASIDE = 4 };
    MUST(once || number + ASIDE >= calls_before_thread || refused, "call %ld failed and nobody was told", number);
    return calls > number ? SAID_SOMETHING_FAILED : SAID_NOTHING_FAILED;
}

/* Refuses call number 0, 1, 2 and so on until the scenario needs no further. */
START_TEST(test_every_single_call)
{
    long number = 0, step = TEST_SANITIZER ? 7 : 1;
    for (;; number += step) {
        pid_t child = fork();
        if (child == 0) {
            alarm(test_patience(60));
            _exit(refuse(number, _i));
        }
        int status;
        NEED(child > 0 && waitpid(child, &status, 0) == child, "fork");
        NEED(WIFEXITED(status), "call %ld %s: signal %d", number, _i ? "alone" : "and all after it", WTERMSIG(status));
        NEED(WEXITSTATUS(status) <= SAID_SOMETHING_FAILED, "call %ld %s: see above", number,
             _i ? "alone" : "and all after it");
        if (WEXITSTATUS(status) == SAID_NOTHING_FAILED)
            break;
    }
    printf("# %ld system calls refused in turn%s\n", number, _i ? ", each alone" : "");
    NEED(number >= 10, "the scenario obtained memory only %ld times", number);
}
END_TEST

/* The kernel says no and yes at random, in a process that goes on living. */
START_TEST(test_on_and_off)
{
    uint64_t state = test_state((uint64_t)_i);
    unsigned long rounds = test_scale(3000);
    for (unsigned long round = rounds; round; round--) {
        uint64_t r = test_random(&state);
        if (round % 10 == 0) {
            atomic_store(&hak_os_fail_once, 0);
            atomic_store(&hak_os_calls, 0);
            atomic_store(&hak_os_fail_after, r % 3 == 0 ? -1 : (long)(r >> 8) % 3);
        }
        size_t size = (r >> 16) % (r % 5 ? 100000 : 3 * TEST_MIB) + 1;
        if (count && (r % 8 < 3 || count > 1000))
            release((r >> 20) % count);
        else if (count && r % 8 == 4)
            resize((r >> 20) % count, size);
        else if (r % 8 == 5)
            allocate_aligned((size_t)16 << (r >> 40) % 18, size);
        else if (r % 8 == 6)
            allocate_zero(size);
        else
            allocate(size);
        if (round % 1000 == 0)
            hak_verify();
    }
    atomic_store(&hak_os_fail_after, -1);
    NEED(refused > 0 || rounds < 1000, "nothing was ever refused");
    all_intact();
    while (count)
        release(0);
    hak_verify();
}
END_TEST

/* Threads are born while there is no memory for their heaps; they must neither crash nor strand what they got. */
static void *poor_thread(void *argument)
{
    unsigned char **kept = argument;
    for (size_t i = 0; i < 200; i++) {
        errno = 0;
        unsigned char *block = hakmem_malloc(16 + i * 16);
        if (!block) {
            MUST(errno == ENOMEM, "errno %d", errno);
            continue;
        }
        pattern_fill(block, 16 + i * 16, i);
        if (i == 100) {
            *kept = block;
            continue;
        }
        MUST(pattern_check(block, 16 + i * 16, i) == SIZE_MAX, "contents");
        hakmem_free(block);
    }
    return NULL;
}

START_TEST(test_threads_without_memory)
{
    enum { THREADS = 200 };
    static unsigned char *kept[THREADS];
    pthread_t threads[THREADS];
    unsigned char *block = hakmem_malloc(100);
    NEED(block, "malloc");
    atomic_store(&hak_os_fail_after, 0);
    for (size_t i = 0; i < THREADS; i++)
        NEED(pthread_create(&threads[i], NULL, poor_thread, &kept[i]) == 0, "pthread_create");
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&hak_os_fail_after, -1);
    for (size_t i = 0; i < THREADS; i++) {
        if (kept[i])
            NEED(pattern_check(kept[i], 16 + 100 * 16, 100) == SIZE_MAX, "block of thread %zu", i);
        hakmem_free(kept[i]);
    }
    hakmem_free(block);
    hak_verify();
}
END_TEST

/*
 * The kernel may have to divide a mapping in order to unmap a part, and at its limit of mappings it refuses.  Then the
 * memory goes back all the same, and the addresses serve again.
 */
START_TEST(test_unmap_refused)
{
    size_t address_space = 0, resident = resident_bytes();
    atomic_store(&hak_os_fail_unmap, 1);
    for (size_t round = 0; round < 40; round++) {
        enum { AT_ONCE = 8 };
        unsigned char *got[AT_ONCE];
        for (size_t i = 0; i < AT_ONCE; i++) {
            size_t size = (3 + i) * TEST_MIB;
            got[i] = i % 2 ? hakmem_aligned_alloc(4 * TEST_MIB, size) : hakmem_calloc(1, size);
            NEED(got[i], "block %zu in round %zu", i, round);
            NEED(i % 2 || first_nonzero(got[i], size) == SIZE_MAX, "calloc is not zero in round %zu", round);
            pattern_fill(got[i], size, i);
        }
        for (size_t i = 0; i < AT_ONCE; i++) {
            NEED(pattern_check(got[i], (3 + i) * TEST_MIB, i) == SIZE_MAX, "block %zu in round %zu", i, round);
            hakmem_free(got[i]);
        }
        hakmem_malloc_trim(0);
        if (round == 20)
            address_space = test_statm(0);
    }
    NEED(TEST_SANITIZER || resident_bytes() < resident + 4 * TEST_MIB, "%zu bytes resident, %zu before",
         resident_bytes(), resident);
    NEED(test_statm(0) <= address_space + 64 * TEST_MIB, "%zu bytes of addresses, %zu after half of it", test_statm(0),
         address_space);
    /* When the kernel can again, trim gives the addresses back, too. */
    atomic_store(&hak_os_fail_unmap, 0);
    address_space = test_statm(0);
    NEED(hakmem_malloc_trim(0) == 1, "malloc_trim gives nothing back");
    NEED(test_statm(0) + 50 * TEST_MIB < address_space, "%zu bytes of addresses after trim, %zu before", test_statm(0),
         address_space);
    hak_verify();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("oom");
    TCase *tcase = suite_case(suite, "injection", 200);
    tcase_add_loop_test(tcase, test_every_single_call, 0, 2);
    tcase_add_loop_test(tcase, test_on_and_off, 0, 4);
    tcase_add_test(tcase, test_threads_without_memory);
    tcase_add_test(tcase, test_unmap_refused);
    return suite_run(suite);
}
