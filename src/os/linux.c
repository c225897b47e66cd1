/* SPDX-License-Identifier: MIT */
/*
 * linux.c - os.h for Linux on 64-bit machines.  Owns no state but the page size and the counters.
 *
 * System calls go through syscall(2), never through libc's mmap and friends: a program may interpose those with
 * functions that allocate, and they would re-enter the allocator under its own locks.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mremap, MAP_ANONYMOUS */
#endif
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1 /* those run-time libraries want to choose where mappings go */
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

size_t hak_os_page;
struct hak_os_counts hak_os_counts;
_Atomic long hak_os_calls;
_Atomic long hak_os_fail_after = -1;
_Atomic int hak_os_fail_once;
_Atomic int hak_os_fail_unmap;
_Atomic uint64_t hak_os_touch_takes;
_Atomic size_t hak_os_huge_page_is;
_Atomic uint64_t hak_os_time_is;

static enum hak_os_kind os_kind_of(long number)
{
    switch (number) {
    case SYS_mmap:
        return HAK_OS_MMAP;
    case SYS_munmap:
        return HAK_OS_MUNMAP;
    case SYS_mremap:
        return HAK_OS_MREMAP;
    case SYS_madvise:
        return HAK_OS_MADVISE;
    case SYS_mprotect:
        return HAK_OS_MPROTECT;
    case SYS_futex:
        return HAK_OS_FUTEX;
    default:
        return HAK_OS_OTHER;
    }
}

static void os_count_mapped(size_t size)
{
    size_t mapped = hak_fetch_add(&hak_os_counts.mapped, size) + size, peak = hak_load(&hak_os_counts.mapped_peak);
    while (peak < mapped && !atomic_compare_exchange_weak_explicit(&hak_os_counts.mapped_peak, &peak, mapped,
                                                                   memory_order_relaxed, memory_order_relaxed))
        ;
}

/* The result, or the negated error number; errno stays as it was. */
static long os_call(long number, long a, long b, long c, long d, long e, long f)
{
    int saved = errno;
    hak_fetch_add(&hak_os_counts.calls[os_kind_of(number)], 1);
    long result = syscall(number, a, b, c, d, e, f);
    if (result == -1) {
        result = -errno;
        errno = saved;
    }
    return result;
}

static bool os_failed(long result)
{
    return result < 0 && result > -4096;
}

/* Counts a call that obtains memory; true if the tests want it to fail. */
static bool os_made_to_fail(void)
{
    hak_fetch_add(&hak_os_calls, 1);
    if (HAK_LIKELY(hak_load(&hak_os_fail_after) < 0))
        return false;
    if (hak_fetch_sub(&hak_os_fail_after, 1) > 0)
        return false;
    hak_store(&hak_os_fail_after, hak_load(&hak_os_fail_once) ? -1 : 0);
    return true;
}

static long os_map(void *at, size_t size, int protection, int flags)
{
    if (os_made_to_fail())
        return -ENOMEM;
    return os_call(SYS_mmap, (long)at, (long)size, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

void *hak_os_map(size_t size)
{
    size = hak_round_up(size, hak_os_page);
    long at = os_map(NULL, size, PROT_READ | PROT_WRITE, 0);
    if (os_failed(at))
        return NULL;
    os_count_mapped(size);
    return (void *)at;
}

enum hak_os_claim hak_os_map_at(void *at, size_t size)
{
    long got = os_map(at, size, PROT_READ | PROT_WRITE, MAP_FIXED_NOREPLACE);
    if (got == (long)at) {
        os_count_mapped(size);
        return HAK_OS_CLAIMED;
    }
    if (os_failed(got)) /* EAGAIN: no more may be locked */
        return got == -EEXIST ? HAK_OS_OCCUPIED : HAK_OS_NO_MEMORY;
    hak_os_release((void *)got, size); /* kernels before 4.17 take the address for a hint */
    return HAK_OS_OCCUPIED;
}

void *hak_os_reserve(size_t size)
{
    long at = os_map(NULL, size, PROT_NONE, MAP_NORESERVE);
    return os_failed(at) ? NULL : (void *)at;
}

/* ---- places ---- */

/*
 * The middle of the lower half of a 47-bit address space is empty by every custom of Linux: programs and their brk
 * sit low or near the top, mappings and stacks at the top.  What the allocator maps for itself goes between 8 and 16
 * TiB, far from all that a program writes to; the first window begins between 16 and 32 TiB.  Kernels with fewer
 * address bits refuse such places, and everything goes then where they like.
 */
#define OWN_PLACES ((uintptr_t)8 << 40)
#define WINDOW_PLACES ((uintptr_t)16 << 40)
#define PLACE_BITS 23 /* of 2 MiB each: 16 TiB */
#define OWN_TRIES 8u

static uint64_t place_bits;        /* differ from run to run */
static _Atomic uintptr_t own_next; /* 0: wherever the kernel likes */

/* Random bits for kernels without getrandom().  Nothing that the C library keeps secret can be told from them. */
static uint64_t os_address_bits(void)
{
    uint64_t bits = (uintptr_t)&bits >> 4 ^ (uintptr_t)hak_os_start >> 12 << 32 ^ hak_os_milliseconds() << 20;
    bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9; /* Steele, Lea, Flood: SplitMix */
    return (bits ^ bits >> 27) * 0x94d049bb133111eb >> 8;
}

static void os_places_start(void)
{
    long persona = os_call(SYS_personality, 0xffffffff, 0, 0, 0, 0, 0);
    place_bits = 0;
    /* Debuggers and setarch -R want each run to be as the last one. */
    if ((os_failed(persona) || !(persona & ADDR_NO_RANDOMIZE)) &&
        os_call(SYS_getrandom, (long)&place_bits, sizeof place_bits, GRND_NONBLOCK, 0, 0, 0) != sizeof place_bits)
        place_bits = os_address_bits();
    if (!SANITIZED)
        hak_store(&own_next, OWN_PLACES + (place_bits >> (64 - PLACE_BITS + 1) << 21));
}

void hak_os_start(void)
{
    hak_os_page = getauxval(AT_PAGESZ);
    if (hak_os_page == 0)
        hak_os_page = 4096;
    os_places_start();
}

uintptr_t hak_os_window_hint(unsigned attempt)
{
    const uint64_t places = (uint64_t)1 << PLACE_BITS;
    if (SANITIZED || attempt >= 4)
        return 0;
    return WINDOW_PLACES + (place_bits + attempt * places / 4) % places * ((uintptr_t)2 << 20);
}

/* Maps the next of those places, and takes `room` bytes of them.  NULL if there is none, or memory is out. */
static void *os_map_in_place(size_t size, size_t room)
{
    for (unsigned tries = 0; hak_load(&own_next) && tries < OWN_TRIES; tries++) {
        void *place = (void *)hak_fetch_add(&own_next, hak_round_up(room, hak_os_page));
        enum hak_os_claim got = hak_os_map_at(place, hak_round_up(size, hak_os_page));
        if (got != HAK_OS_OCCUPIED)
            return got == HAK_OS_CLAIMED ? place : NULL;
    }
    return NULL;
}

void *hak_os_map_own(size_t size)
{
    void *at = os_map_in_place(size, size);
    return at ? at : hak_os_map(size);
}

void *hak_os_map_own_growing(size_t size, size_t room, bool *reserved)
{
    void *at = os_map_in_place(size, room);
    *reserved = !at;
    if (at)
        return at;
    at = hak_os_reserve(room);
    if (at && hak_os_commit(at, size))
        return at;
    if (at)
        hak_os_release(at, room);
    return NULL;
}

bool hak_os_commit(void *at, size_t size)
{
    if (os_made_to_fail())
        return false;
    if (os_failed(os_call(SYS_mprotect, (long)at, (long)size, PROT_READ | PROT_WRITE, 0, 0, 0)))
        return false;
    os_count_mapped(size);
    return true;
}

void hak_os_release(void *at, size_t size)
{
    os_call(SYS_munmap, (long)at, (long)hak_round_up(size, hak_os_page), 0, 0, 0, 0);
}

bool hak_os_unmap(void *at, size_t size)
{
    if (HAK_UNLIKELY(hak_load(&hak_os_fail_unmap)))
        return false;
    size = hak_round_up(size, hak_os_page);
    if (os_failed(os_call(SYS_munmap, (long)at, (long)size, 0, 0, 0, 0)))
        return false;
    hak_fetch_sub(&hak_os_counts.mapped, size);
    return true;
}

void *hak_os_remap(void *at, size_t old_size, size_t new_size, bool may_move)
{
    if (os_made_to_fail())
        return NULL;
    long got = os_call(SYS_mremap, (long)at, (long)old_size, (long)new_size, may_move ? MREMAP_MAYMOVE : 0, 0, 0);
    if (os_failed(got))
        return NULL;
    if (new_size > old_size)
        os_count_mapped(new_size - old_size);
    else
        hak_fetch_sub(&hak_os_counts.mapped, old_size - new_size);
    return (void *)got;
}

bool hak_os_purge(void *at, size_t size)
{
    return !os_failed(os_call(SYS_madvise, (long)at, (long)size, MADV_DONTNEED, 0, 0, 0));
}

void hak_os_want_huge(void *at, size_t size, bool wanted)
{
    int advice = wanted ? MADV_HUGEPAGE : MADV_NOHUGEPAGE;
    if (!os_failed(os_call(SYS_madvise, (long)at, (long)size, advice, 0, 0, 0)) && wanted)
        hak_fetch_add(&hak_os_counts.want_huge, size);
}

size_t hak_os_address_limit(void)
{
    static const int resources[] = {RLIMIT_AS, RLIMIT_DATA};
    size_t least = SIZE_MAX;
    for (unsigned i = 0; i < sizeof resources / sizeof *resources; i++) {
        struct rlimit limit;
        bool known = !os_failed(os_call(SYS_prlimit64, 0, resources[i], 0, (long)&limit, 0, 0));
        if (known && limit.rlim_cur != RLIM_INFINITY)
            least = HAK_MIN(least, limit.rlim_cur);
    }
    return least;
}

size_t hak_os_window_size(void)
{
    size_t size = (size_t)64 << 30, limit = hak_os_address_limit();
    struct sysinfo info;
    if (SANITIZED)
        return (size_t)16 << 30;
    if (!os_failed(os_call(SYS_sysinfo, (long)&info, 0, 0, 0, 0, 0))) {
        size_t memory = (size_t)(info.totalram + info.totalswap) * info.mem_unit;
        while (size < 4 * memory && size < (size_t)16 << 40)
            size *= 2;
    }
    /* The page map, where its place has to be reserved, takes 1/16384 of the window: no more than a 64th of what may be
     * mapped at all. */
    while (size > (size_t)1 << 30 && size / 16384 > limit / 64)
        size /= 2;
    return size;
}

/* A size beyond all memory and swap is refused by heuristic overcommit, and by strict accounting. */
bool hak_os_could_map(size_t size)
{
    struct sysinfo info;
    if (size > hak_os_address_limit())
        return false;
    return os_failed(os_call(SYS_sysinfo, (long)&info, 0, 0, 0, 0, 0)) ||
           size <= (size_t)(info.totalram + info.totalswap) * info.mem_unit;
}

bool hak_os_privileged(void)
{
    return getauxval(AT_SECURE) != 0;
}

/* ---- what the control groups allow ---- */

#define CGROUP_FILE 4096
#define CGROUP_PATH 1024
#define QUOTA_MS 100u /* a quota of processor time may change while the program runs */

/* The file's beginning, ended by a NUL; false if it cannot be read. */
static bool os_read_file(const char *path, char *text, size_t size)
{
    long fd = os_call(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0), length = 0;
    if (os_failed(fd))
        return false;
    for (long got = 1; got > 0 && (size_t)length < size - 1; length += got) {
        got = os_call(SYS_read, fd, (long)text + length, (long)(size - 1) - length, 0, 0, 0);
        if (os_failed(got))
            got = 0;
    }
    os_call(SYS_close, fd, 0, 0, 0, 0, 0);
    text[length] = '\0';
    return length > 0;
}

/* The number that begins here, SIZE_MAX if there is none or it is too large; moves behind it. */
static size_t os_number_at(const char **text)
{
    uint64_t number;
    return hak_text_read_decimal(text, *text + strlen(*text), &number) ? number : SIZE_MAX;
}

/* A file that holds a number, or "max". */
static size_t os_number_in(const char *path)
{
    char text[32];
    const char *at = text;
    return os_read_file(path, text, sizeof text) ? os_number_at(&at) : SIZE_MAX;
}

size_t hak_os_huge_page(void)
{
    static _Atomic size_t known;
    size_t size = HAK_UNLIKELY(hak_load(&hak_os_huge_page_is)) ? hak_load(&hak_os_huge_page_is) : hak_load(&known);
    if (HAK_LIKELY(size))
        return size;
    size = os_number_in("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");
    if (size == SIZE_MAX || size == 0)
        size = HAK_SUPER;
    hak_store(&known, size);
    return size;
}

bool hak_os_huge_pages_are_usual(void)
{
    enum { UNKNOWN, RARE, USUAL };
    static _Atomic int known;
    if (HAK_UNLIKELY(hak_load(&known) == UNKNOWN)) {
        char text[64];
        bool usual = os_read_file("/sys/kernel/mm/transparent_hugepage/enabled", text, sizeof text) && text[0] == '[';
        hak_store(&known, usual ? USUAL : RARE);
    }
    return hak_load(&known) == USUAL;
}

/* "200000 100000": of each so many microseconds so many of a processor's time, as processors rounded up; or
 * "max 100000". */
static size_t group_processors_in(const char *path)
{
    char text[64];
    const char *at = text;
    if (!os_read_file(path, text, sizeof text))
        return SIZE_MAX;
    size_t quota = os_number_at(&at);
    at += *at == ' ';
    size_t period = os_number_at(&at);
    return period && period < SIZE_MAX - quota ? (quota + period - 1) / period : SIZE_MAX;
}

/* The least of the limits of a group and those it is in: root + group, without its last part, without the last two, ...
 * + file.  Within a namespace of control groups the first is not there, and the root has the limit. */
static size_t group_limit(size_t (*limit_in)(const char *path), const char *root, const char *group, size_t length,
                          const char *file)
{
    size_t least = SIZE_MAX, root_length = strlen(root), file_length = strlen(file);
    char path[CGROUP_PATH];
    for (;;) {
        while (length && group[length - 1] == '/')
            length--;
        if (root_length + length + file_length < sizeof path) {
            memcpy(path, root, root_length);
            memcpy(path + root_length, group, length);
            memcpy(path + root_length + length, file, file_length + 1);
            least = HAK_MIN(least, limit_in(path));
        }
        if (length == 0)
            return least;
        while (length && group[length - 1] != '/')
            length--;
    }
}

/* Lines of /proc/self/cgroup: "0::/group" of version 2, "9:memory:/group" of version 1.  Calls limit_of() with each
 * line's controllers and group; the least limit. */
static size_t groups_limit(size_t (*limit_of)(const char *names, size_t names_length, const char *group, size_t length))
{
    char text[CGROUP_FILE];
    size_t least = SIZE_MAX;
    if (!os_read_file("/proc/self/cgroup", text, sizeof text))
        return least;
    for (char *line = text, *end; *line; line = *end ? end + 1 : end) {
        end = strchrnul(line, '\n');
        char *controllers = memchr(line, ':', (size_t)(end - line));
        char *group = controllers ? memchr(controllers + 1, ':', (size_t)(end - controllers - 1)) : NULL;
        if (group)
            least = HAK_MIN(least, limit_of(controllers + 1, (size_t)(group - controllers - 1), group + 1,
                                            (size_t)(end - group - 1)));
    }
    return least;
}

static size_t group_memory(const char *names, size_t names_length, const char *group, size_t length)
{
    if (names_length == 0)
        return group_limit(os_number_in, "/sys/fs/cgroup", group, length, "/memory.max");
    if (memmem(names, names_length, "memory", 6))
        return group_limit(os_number_in, "/sys/fs/cgroup/memory", group, length, "/memory.limit_in_bytes");
    return SIZE_MAX;
}

static size_t group_processors(const char *names, size_t names_length, const char *group, size_t length)
{
    (void)names;
    return names_length == 0 ? group_limit(group_processors_in, "/sys/fs/cgroup", group, length, "/cpu.max") : SIZE_MAX;
}

size_t hak_os_memory_limit(void)
{
    struct sysinfo info;
    size_t memory = SIZE_MAX;
    if (!os_failed(os_call(SYS_sysinfo, (long)&info, 0, 0, 0, 0, 0)))
        memory = (size_t)info.totalram * info.mem_unit;
    return HAK_MIN(memory, groups_limit(group_memory));
}

/* The processors that the thread may run on, of 8192.  Returns the bytes that the kernel wrote. */
#define CPU_WORDS 128
static long os_affinity(uint32_t thread, uint64_t mask[CPU_WORDS])
{
    long size = os_call(SYS_sched_getaffinity, thread, CPU_WORDS * sizeof *mask, (long)mask, 0, 0, 0);
    return os_failed(size) ? 0 : size;
}

/* The processors that the thread, or the process's first one, may run on, or could when this was called
 * before.  Threads of a pool are often bound to one processor each, and programs started by a process that is. */
static unsigned os_cpus_allowed(void)
{
    static _Atomic uint64_t seen[CPU_WORDS];
    uint64_t mask[CPU_WORDS] = {0}, of_first[CPU_WORDS] = {0};
    unsigned cpus = 0;
    os_affinity(0, mask);
    os_affinity(hak_os_pid(), of_first);
    for (unsigned i = 0; i < CPU_WORDS; i++) {
        mask[i] |= of_first[i];
        if (mask[i] & ~hak_load(&seen[i]))
            atomic_fetch_or(&seen[i], mask[i]);
        cpus += (unsigned)__builtin_popcountl(hak_load(&seen[i]));
    }
    return HAK_MAX(cpus, 1);
}

/* The processors that the control groups' quotas pay for; the files are read again every QUOTA_MS. */
static size_t os_cpus_paid_for(void)
{
    static _Atomic uint64_t next;
    static _Atomic size_t quota = SIZE_MAX;
    uint64_t now = hak_os_milliseconds(), due = hak_load(&next);
    if (now >= due && atomic_compare_exchange_strong(&next, &due, now + QUOTA_MS))
        hak_store(&quota, HAK_MAX(groups_limit(group_processors), 1));
    return hak_load(&quota);
}

unsigned hak_os_cpus(void)
{
    return (unsigned)HAK_MIN(os_cpus_allowed(), os_cpus_paid_for());
}

const char *hak_os_program(void)
{
    return program_invocation_short_name ? program_invocation_short_name : "?";
}

/* ---- what a thread inherits from the one that makes it ---- */

#define PRIORITY_OF_THREAD 1 /* IOPRIO_WHO_PROCESS, whose 0 is the calling thread */

static struct {
    uint64_t mask[CPU_WORDS];
    long mask_size, policy, priority, io_priority, timer_slack;
} at_start;

void hak_os_note_thread(void)
{
    at_start.mask_size = os_affinity(0, at_start.mask);
    at_start.policy = os_call(SYS_sched_getscheduler, 0, 0, 0, 0, 0, 0);
    at_start.priority = os_call(SYS_getpriority, PRIO_PROCESS, 0, 0, 0, 0, 0);
    at_start.io_priority = os_call(SYS_ioprio_get, PRIORITY_OF_THREAD, 0, 0, 0, 0, 0);
    at_start.timer_slack = os_call(SYS_prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0, 0);
}

void hak_os_thread_as_at_start(void)
{
    const struct sched_param none = {0};
    long policy = at_start.policy == SCHED_BATCH || at_start.policy == SCHED_IDLE ? at_start.policy : SCHED_OTHER;
    os_call(SYS_sched_setscheduler, 0, policy, (long)&none, 0, 0, 0);
    if (!os_failed(at_start.priority)) /* the system call returns 20 less it */
        os_call(SYS_setpriority, PRIO_PROCESS, 0, 20 - at_start.priority, 0, 0, 0);
    if (!os_failed(at_start.io_priority))
        os_call(SYS_ioprio_set, PRIORITY_OF_THREAD, 0, at_start.io_priority, 0, 0, 0);
    if (at_start.mask_size)
        os_call(SYS_sched_setaffinity, 0, at_start.mask_size, (long)at_start.mask, 0, 0, 0);
    if (!os_failed(at_start.timer_slack))
        os_call(SYS_prctl, PR_SET_TIMERSLACK, at_start.timer_slack, 0, 0, 0, 0);
}

uint32_t hak_os_pid(void)
{
    return (uint32_t)os_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

uint32_t hak_os_tid(void)
{
    return (uint32_t)os_call(SYS_gettid, 0, 0, 0, 0, 0, 0);
}

bool hak_os_tid_is_gone(uint32_t process, uint32_t thread)
{
    return os_call(SYS_tgkill, process, thread, 0, 0, 0, 0) == -ESRCH;
}

void hak_os_wait(_Atomic uint32_t *word, uint32_t value)
{
    os_call(SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, value, 0, 0, 0);
}

void hak_os_wait_for(_Atomic uint32_t *word, uint32_t value, unsigned milliseconds)
{
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    os_call(SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, value, milliseconds ? (long)&time : 0, 0, 0);
}

void hak_os_wake(_Atomic uint32_t *word, int count)
{
    os_call(SYS_futex, (long)word, FUTEX_WAKE_PRIVATE, count, 0, 0, 0);
}

void hak_os_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

static uint64_t os_nanoseconds(clockid_t clock)
{
    struct timespec time = {0};
    os_call(SYS_clock_gettime, clock, (long)&time, 0, 0, 0, 0);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* Timed by this thread's clock, as other threads may have the processor meanwhile. */
uint64_t hak_os_touch(char *at)
{
    uint64_t before = os_nanoseconds(CLOCK_THREAD_CPUTIME_ID);
    *(volatile char *)at = 0;
    uint64_t took = os_nanoseconds(CLOCK_THREAD_CPUTIME_ID) - before, told = hak_load(&hak_os_touch_takes);
    return HAK_UNLIKELY(told) ? told : took;
}

uint64_t hak_os_milliseconds(void)
{
    uint64_t told = hak_load(&hak_os_time_is);
    return HAK_UNLIKELY(told) ? told : os_nanoseconds(CLOCK_MONOTONIC) / 1000000;
}

void hak_os_name_thread(const char *name)
{
    os_call(SYS_prctl, PR_SET_NAME, (long)name, 0, 0, 0, 0);
}

/* ---- what is libc's code ---- */

struct range {
    uintptr_t start, end;
};

/* The dynamic loader's structure, which not every C library has. */
extern struct r_debug _r_debug __attribute__((weak));

static struct range libc_ranges[4]; /* libc, libpthread where it is another object, the dynamic loader, this library */
static _Atomic uint32_t libc_known;

struct search {
    unsigned found;
    bool libc, loader;
};

/* Any object is libc's that holds one of these, but for the program: the address of a function that a program linked to
 * a fixed place has taken is one in the program, of a jump to the function. */
static bool range_holds(const struct range *range, const uintptr_t *code, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (code[i] >= range->start && code[i] < range->end)
            return true;
    return false;
}

/* The object's range is kept if it holds code that is known to be libc's.  A program's name is empty. */
static int os_look_at_object(struct dl_phdr_info *info, size_t size, void *argument)
{
    /* Within a library of its own this code calls itself for whoever calls it. */
    const uintptr_t libcs[] = {(uintptr_t)abort, (uintptr_t)pthread_create, (uintptr_t)sigfillset,
                               (uintptr_t)getauxval},
                    loaders[] = {getauxval(AT_BASE), (uintptr_t)&_r_debug}, own[] = {(uintptr_t)os_look_at_object};
    struct range range = {UINTPTR_MAX, 0};
    struct search *search = argument;
    (void)size;
    if (!info->dlpi_name || !info->dlpi_name[0])
        return 0;
    for (unsigned i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD) {
            uintptr_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            range.start = HAK_MIN(range.start, start);
            range.end = HAK_MAX(range.end, start + info->dlpi_phdr[i].p_memsz);
        }
    bool libc = range_holds(&range, libcs, 4), loader = range_holds(&range, loaders, 2);
    search->libc |= libc;
    search->loader |= loader;
    if (search->found < 4 && (libc || loader || range_holds(&range, own, 1)))
        libc_ranges[search->found++] = range;
    return 0;
}

static bool os_in_libc_ranges(uintptr_t code)
{
    for (unsigned i = 0; i < sizeof libc_ranges / sizeof *libc_ranges; i++)
        if (code - libc_ranges[i].start < libc_ranges[i].end - libc_ranges[i].start)
            return true;
    return false;
}

/* In a static program, which is one object, libc's code cannot be told from the program's: HAK_OS_NEVER. */
void hak_os_find_libc(void)
{
    struct search search = {0};
    dl_iterate_phdr(os_look_at_object, &search);
    hak_store_release(&libc_known, search.libc && search.loader ? HAK_OS_KNOWN : HAK_OS_NEVER);
}

enum hak_os_knows hak_os_libc_known(void)
{
    return (enum hak_os_knows)hak_load_acquire(&libc_known);
}

bool hak_os_in_libc(const void *code)
{
    return hak_os_libc_known() != HAK_OS_KNOWN || os_in_libc_ranges((uintptr_t)code);
}

void hak_os_write_stderr(const char *text, size_t length)
{
    os_call(SYS_write, STDERR_FILENO, (long)text, (long)length, 0, 0, 0);
}

/* The second number of /proc/self/statm, in pages. */
size_t hak_os_resident(void)
{
    char text[128];
    if (!os_read_file("/proc/self/statm", text, sizeof text))
        return 0;
    const char *at = strchrnul(text, ' ');
    at += *at == ' ';
    size_t pages = os_number_at(&at);
    return pages == SIZE_MAX ? 0 : pages * hak_os_page;
}

/* The signals between the classical and the real-time ones are the C library's. */
bool hak_os_may_handle(int number)
{
    return number != SIGKILL && number != SIGSTOP && (number < 32 || number >= SIGRTMIN);
}

void hak_os_nap(void)
{
    struct timespec millisecond = {.tv_nsec = 1000000};
    os_call(SYS_nanosleep, (long)&millisecond, 0, 0, 0, 0, 0);
}
