/* SPDX-License-Identifier: MIT */
/*
 * os.h - all that is asked of the operating system.  linux.c is the only file with system calls and the
 * only one where platforms differ.
 *
 * No function here allocates, and none changes errno.  Those that obtain memory return NULL (or false) when the
 * kernel refuses; the caller turns that into ENOMEM.
 */
#ifndef HAK_OS_H
#define HAK_OS_H

#include "base/atomics.h"
#include "base/base.h"

#pragma GCC visibility push(hidden)

/* Known after hak_os_start(). */
extern size_t hak_os_page;

void hak_os_start(void);

/* Fresh zeroed pages at an address that the kernel chooses; `size` is rounded up to pages. */
void *hak_os_map(size_t size);

enum hak_os_claim { HAK_OS_CLAIMED, HAK_OS_OCCUPIED, HAK_OS_NO_MEMORY };
/* Fresh zeroed pages exactly at `at`, if nothing is mapped there. */
enum hak_os_claim hak_os_map_at(void *at, size_t size);

/* Fresh zeroed pages for the allocator's own structures, at an address far from all blocks of the program. */
void *hak_os_map_own(size_t size);
/* Address space without access and without commit charge, and access to a part of it. */
void *hak_os_reserve(size_t size);
/* As hak_os_map_own(), for what may grow in place to `room` bytes, by hak_os_map_at() behind its end or hak_os_commit()
 * if *reserved is set. */
void *hak_os_map_own_growing(size_t size, size_t room, bool *reserved);
/* Makes reserved pages readable and writable. */
bool hak_os_commit(void *at, size_t size);

/* Gives up what hak_os_reserve() returned, if no part of it was committed. */
void hak_os_release(void *at, size_t size);

/* False if the kernel could not (it may have to divide a mapping). */
bool hak_os_unmap(void *at, size_t size);
/* Resizes a mapping, in place unless it may move.  NULL if the kernel could not; then the mapping is as it was. */
void *hak_os_remap(void *at, size_t old_size, size_t new_size, bool may_move);
/* Gives the pages' memory back; they read as zero afterwards.  False if the kernel kept them (locked memory). */
bool hak_os_purge(void *at, size_t size);
/* Asks for huge pages in the range, or for none. */
void hak_os_want_huge(void *at, size_t size, bool wanted);
/* The bytes of a huge page, read from the kernel once; 2 MiB if the kernel does not tell. */
size_t hak_os_huge_page(void);
/* Whether the kernel gives huge pages to programs that do not ask ("always"), read from the kernel once. */
bool hak_os_huge_pages_are_usual(void);
/* Faults a page in by writing a zero where one is; returns the processor time that took, in nanoseconds. */
uint64_t hak_os_touch(char *at);

/* An address at which the first window may be tried, with nothing near and another one in each run; 0 if this system
 * has no such place.  `attempt` counts up from 0. */
uintptr_t hak_os_window_hint(unsigned attempt);
/* The most bytes a window is worth: a multiple of the machine's memory, less under a tight RLIMIT_AS. */
size_t hak_os_window_size(void);

/* The bytes that this process may map at all, or SIZE_MAX. */
size_t hak_os_address_limit(void);
/* False if the kernel would refuse so many bytes even to a process that has nothing else. */
bool hak_os_could_map(size_t size);
/* Whether the program has other rights than whoever started it (set-user-ID and the like). */
bool hak_os_privileged(void);
/* The bytes of memory that the kernel lets the process have: the least of its control groups' limits (version 1 or 2)
 * and the machine's memory. */
size_t hak_os_memory_limit(void);
/* The processors that this process may run on, as far as its threads have shown so far, or fewer if its control groups
 * (version 2) have a quota of time for fewer. */
unsigned hak_os_cpus(void);

/* The name by which the program was called, without its folder; "?" as long as the C library does not know it. */
const char *hak_os_program(void);
/* The kernel's IDs of this process and this thread. */
uint32_t hak_os_pid(void);
uint32_t hak_os_tid(void);
/* True if the process certainly has no thread of this ID any more. */
bool hak_os_tid_is_gone(uint32_t process, uint32_t thread);

/* Waits while the word has the value, or less long. */
void hak_os_wait(_Atomic uint32_t *word, uint32_t value);
/* Waits so many milliseconds at most, or without a limit if that is 0. */
void hak_os_wait_for(_Atomic uint32_t *word, uint32_t value, unsigned milliseconds);
void hak_os_wake(_Atomic uint32_t *word, int count);
void hak_os_pause(void);
/* A clock that never goes back. */
uint64_t hak_os_milliseconds(void);
void hak_os_name_thread(const char *name);
/* The first notes how the calling thread is scheduled.  The second schedules its calling thread in that way, but never
 * in real time, whatever the thread inherited from its creator.  What the kernel refuses stays as it is. */
void hak_os_note_thread(void);
void hak_os_thread_as_at_start(void);

enum hak_os_knows { HAK_OS_NOT_YET, HAK_OS_KNOWN, HAK_OS_NEVER };
/* Finds the C library and the dynamic loader among the objects of the process; from a constructor. */
void hak_os_find_libc(void);
enum hak_os_knows hak_os_libc_known(void);
/* Whether code at the address is, or may be, part of them, or of libhakmem where that is a library of its own. */
bool hak_os_in_libc(const void *code);
/* Whether the kernel and the C library let a program handle this signal. */
bool hak_os_may_handle(int number);
/* Sleeps for a millisecond, or less if a signal comes. */
void hak_os_nap(void);
/* Writes to standard error, whole or not at all as far as the kernel lets. */
void hak_os_write_stderr(const char *text, size_t length);

/* The bytes of this process that are in memory, or 0 if /proc does not say. */
size_t hak_os_resident(void);

/* What was asked of the kernel so far. */
enum hak_os_kind {
    HAK_OS_MMAP,
    HAK_OS_MUNMAP,
    HAK_OS_MREMAP,
    HAK_OS_MADVISE,
    HAK_OS_MPROTECT,
    HAK_OS_FUTEX,
    HAK_OS_OTHER,
    HAK_OS_KINDS,
};
struct hak_os_counts {
    _Atomic size_t calls[HAK_OS_KINDS];
    _Atomic size_t mapped;      /* bytes that may be read and written now */
    _Atomic size_t mapped_peak; /* and the most there have been */
    _Atomic size_t want_huge;   /* bytes that huge pages were asked for */
};
extern struct hak_os_counts hak_os_counts;

/* For the tests: the calls that obtain memory are counted; from the call numbered hak_os_fail_after on (counted from
 * when it was set), they fail, or only that one if hak_os_fail_once is set.  Negative means never. */
extern _Atomic long hak_os_calls;
extern _Atomic long hak_os_fail_after;
extern _Atomic int hak_os_fail_once;
/* For the tests: hak_os_unmap() fails while this is not 0. */
extern _Atomic int hak_os_fail_unmap;
/* For the tests: hak_os_touch() returns this if it is not 0. */
extern _Atomic uint64_t hak_os_touch_takes;
/* For the tests: hak_os_huge_page() returns this if it is not 0. */
extern _Atomic size_t hak_os_huge_page_is;
/* For the tests: hak_os_milliseconds() returns this if it is not 0. */
extern _Atomic uint64_t hak_os_time_is;

#pragma GCC visibility pop
#endif
