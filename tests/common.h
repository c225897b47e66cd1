/* SPDX-License-Identifier: MIT */
/*
 * common.h - what all test programs share: how much work to do, a content pattern, a random generator.
 *
 * Nothing here allocates, so that it may be used where the allocator under test is the only one there is.
 */
#ifndef HAKMEM_TESTS_COMMON_H
#define HAKMEM_TESTS_COMMON_H

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(undefined_behavior_sanitizer)
#define TEST_SANITIZER 1
#endif
#endif
#ifndef TEST_SANITIZER
#define TEST_SANITIZER 0
#endif

#if defined(__SANITIZE_THREAD__)
#define TEST_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TEST_TSAN 1
#endif
#endif
#ifndef TEST_TSAN
#define TEST_TSAN 0
#endif

#if TEST_TSAN
/* The child of a fork among threads may start the helper thread, for which ThreadSanitizer would end it. */
__attribute__((weak, visibility("default"))) const char *__tsan_default_options(void);
__attribute__((weak, visibility("default"))) const char *__tsan_default_options(void) { return "die_after_fork=0"; }
#endif

#define TEST_KIB ((size_t)1 << 10)
#define TEST_MIB ((size_t)1 << 20)
#define TEST_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* HAKMEM_TEST_EMULATED=1: what is resident is the emulator's as well, and says nothing; fork among threads may hang. */
static inline int test_emulated(void)
{
    const char *choice = getenv("HAKMEM_TEST_EMULATED");
    return choice && *choice == '1';
}

/*
 * How many times to do something that a normal run does `n` times.  Sanitizers and valgrind (HAKMEM_TEST_SHORT=1)
 * make everything slower; HAKMEM_TEST_LONG=1 asks for the bugs that only minutes of work bring out.
 */
static inline unsigned long test_scale(unsigned long n)
{
    const char *choice;
    if ((choice = getenv("HAKMEM_TEST_SHORT")) && *choice == '1')
        n /= 100;
    else if ((choice = getenv("HAKMEM_TEST_LONG")) && *choice == '1')
        n *= 20;
    if (TEST_SANITIZER)
        n /= 20;
    return n ? n : 1;
}

/* Seconds after which a test that normally takes far less has hung; on a machine with much else to do it takes longer. */
static inline unsigned test_patience(unsigned seconds)
{
    const char *choice;
    seconds *= 5;
    if ((choice = getenv("HAKMEM_TEST_LONG")) && *choice == '1')
        seconds *= 20;
    if (((choice = getenv("HAKMEM_TEST_SHORT")) && *choice == '1') || TEST_SANITIZER)
        seconds *= 4;
    return seconds;
}

/* A figure of /proc/self/statm in bytes, 0 for the address space, 1 for what of it is resident; 0 without /proc.  By
 * open and read, as stdio would allocate. */
static inline size_t test_statm(int field)
{
    char text[128] = "";
    char *at = text;
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? 0 : read(file, text, sizeof(text) - 1);
    if (file >= 0)
        close(file);
    if (got <= 0)
        return 0;
    for (; field > 0; field--)
        strtoul(at, &at, 10);
    /* /proc is of the machine below an emulator, and counts its pages. */
    return strtoul(at, &at, 10) * (test_emulated() ? 4 * TEST_KIB : (size_t)sysconf(_SC_PAGESIZE));
}

static inline size_t resident_bytes(void) { return test_statm(1); }

/* xorshift64*: fast, and the same on every machine for the same seed. */
static inline uint64_t test_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(2685821657736338717);
}

/* A generator's state that no neighbouring seed shares. */
static inline uint64_t test_state(uint64_t seed)
{
    seed += UINT64_C(0x9e3779b97f4a7c15);
    seed = (seed ^ (seed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    seed = (seed ^ (seed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (seed ^ (seed >> 31)) | 1;
}

static inline unsigned char pattern_byte(uint64_t seed, size_t offset)
{
    uint64_t word = (seed + offset / 8) * UINT64_C(0x9e3779b97f4a7c15);
    return (unsigned char)(word >> (offset % 8 * 8));
}

static inline uint64_t pattern_word(uint64_t seed, size_t offset)
{
    return (seed + offset / 8) * UINT64_C(0x9e3779b97f4a7c15);
}

/*
 * Blocks above PATTERN_FULL bytes carry the pattern in their first and last 256 bytes and in 16 bytes of each
 * 4 KiB only: enough to see a page that is lost, shared or moved.  Beyond PATTERN_DENSE bytes it is one page of each
 * 64 KiB, another for each seed: where a virtual machine has to ask its host for each page, a page takes 20 microseconds.
 */
#define PATTERN_FULL ((size_t)16 << 10)
#define PATTERN_DENSE ((size_t)256 << 10)

/* The offset of the 16 bytes that follow those at `at`, both multiples of 4 KiB. */
static inline size_t pattern_after(size_t at, uint64_t seed)
{
    if (at < PATTERN_DENSE)
        return at + 4096;
    size_t unit = at / 65536 + 1;
    return unit * 65536 + (size_t)((seed + unit) * UINT64_C(0x9e3779b97f4a7c15) >> 60) * 4096;
}

static inline void pattern_fill_range(unsigned char *block, size_t from, size_t to, uint64_t seed)
{
    while (from < to && from % 8) {
        block[from] = pattern_byte(seed, from);
        from++;
    }
    for (; from + 8 <= to; from += 8) {
        uint64_t word = pattern_word(seed, from);
        memcpy(block + from, &word, 8);
    }
    for (; from < to; from++)
        block[from] = pattern_byte(seed, from);
}

static inline size_t pattern_check_range(const unsigned char *block, size_t from, size_t to, uint64_t seed)
{
    while (from < to && from % 8) {
        if (block[from] != pattern_byte(seed, from))
            return from;
        from++;
    }
    for (; from + 8 <= to; from += 8) {
        uint64_t word;
        memcpy(&word, block + from, 8);
        if (word != pattern_word(seed, from))
            break;
    }
    for (; from < to; from++)
        if (block[from] != pattern_byte(seed, from))
            return from;
    return SIZE_MAX;
}

static inline void pattern_fill(void *block, size_t size, uint64_t seed)
{
    unsigned char *bytes = (unsigned char *)block;
    if (size <= PATTERN_FULL) {
        pattern_fill_range(bytes, 0, size, seed);
        return;
    }
    pattern_fill_range(bytes, 0, 256, seed);
    for (size_t at = 4096; at + 16 <= size; at = pattern_after(at, seed))
        pattern_fill_range(bytes, at, at + 16, seed);
    pattern_fill_range(bytes, size - 256, size, seed);
}

/*
 * The offset of the first byte that differs from what pattern_fill(block, filled, seed) wrote within the first
 * `size` bytes, or SIZE_MAX if all are intact.
 */
static inline size_t pattern_check_part(const void *block, size_t size, size_t filled, uint64_t seed)
{
    const unsigned char *bytes = (const unsigned char *)block;
    size_t bad;
    if (filled <= PATTERN_FULL)
        return pattern_check_range(bytes, 0, size < filled ? size : filled, seed);
    if ((bad = pattern_check_range(bytes, 0, size < 256 ? size : 256, seed)) != SIZE_MAX)
        return bad;
    for (size_t at = 4096; at + 16 <= filled && at + 16 <= size; at = pattern_after(at, seed))
        if ((bad = pattern_check_range(bytes, at, at + 16, seed)) != SIZE_MAX)
            return bad;
    if (size >= filled)
        return pattern_check_range(bytes, filled - 256, filled, seed);
    return SIZE_MAX;
}

static inline size_t pattern_check(const void *block, size_t size, uint64_t seed)
{
    return pattern_check_part(block, size, size, seed);
}

/* The offset of the first byte that is not zero, or SIZE_MAX. */
static inline size_t first_nonzero(const void *block, size_t size)
{
    const unsigned char *bytes = (const unsigned char *)block;
    size_t at = 0;
    for (; at < size && (uintptr_t)(bytes + at) % 8; at++)
        if (bytes[at])
            return at;
    for (; at + 8 <= size; at += 8) {
        uint64_t word;
        memcpy(&word, bytes + at, 8);
        if (word)
            break;
    }
    for (; at < size; at++)
        if (bytes[at])
            return at;
    return SIZE_MAX;
}

#endif
