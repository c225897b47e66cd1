/* SPDX-License-Identifier: MIT */
/**
 * hakmem.h - the public interface of libhakmem, a general-purpose memory allocator for Linux.
 *
 * Linking with libhakmem (pkg-config --libs hakmem) or preloading it (hakmem run -- PROGRAM) already replaces
 * malloc, free and their family, C++ operator new and delete included: a program needs this header only for what
 * the C library does not have.  Each hakmem_ function below behaves exactly as the libc function of the same name
 * does with libhakmem in place; a block may be allocated by one family and freed by the other.
 *
 * Unless a declaration says otherwise:
 *   - every function may be called from any thread at any time, also before constructors have run, after
 *     destructors have run and in the child of a fork; none may be called from a signal handler;
 *   - every block is aligned to 16 bytes at least, whatever its size;
 *   - a failed allocation returns NULL with errno set to ENOMEM and changes nothing else;
 *   - a successful call leaves errno as it was, and so does every call that frees.
 *
 * To free a block twice, a pointer that is not the start of a block, or a pointer that libhakmem did not hand out is a
 * programming error: one line on standard error says which, and the process is aborted (unless the knob on_misuse of
 * hakmem_tune(3) says otherwise).  A block that is freed twice, but not twice in a row, may be found only when the
 * thread's free blocks go back to its heap, and may have been allocated again by then.  A library that was configured
 * with --enable-debug finds each such block at once.
 *
 * Everything here is available since version 0.1.0 unless a declaration names a later one.
 */
#ifndef HAKMEM_H
#define HAKMEM_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <malloc.h>

/* Declarations that the C library may lack: musl has neither M_TRIM_THRESHOLD nor the structures that the mallinfo
 * functions return, and glibc before 2.33 has no struct mallinfo2. */
#ifndef M_TRIM_THRESHOLD
#define M_TRIM_THRESHOLD (-1)
#endif
#ifndef __GLIBC__
struct mallinfo {
    int arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};
#endif
#if !defined(__GLIBC__) || (__GLIBC__ == 2 && __GLIBC_MINOR__ < 33)
struct mallinfo2 {
    size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** The version of this header.  hakmem_version() tells the version of the library that is running. */
#define HAKMEM_VERSION_MAJOR 0
#define HAKMEM_VERSION_MINOR 1
#define HAKMEM_VERSION_PATCH 0
#define HAKMEM_VERSION_STRING "0.1.0"

#if defined(__GNUC__) || defined(__clang__)
#define HAKMEM_ATTR(x) __attribute__(x)
#else
#define HAKMEM_ATTR(x)
#endif
#define HAKMEM_API HAKMEM_ATTR((visibility("default")))
/* glibc declares its functions throw() in C++; ours may be called the same way. */
#ifdef __cplusplus
#if __cplusplus >= 201103L
#define HAKMEM_NOTHROW noexcept
#else
#define HAKMEM_NOTHROW throw()
#endif
#else
#define HAKMEM_NOTHROW HAKMEM_ATTR((nothrow))
#endif
#define HAKMEM_ALLOCATES HAKMEM_ATTR((malloc)) HAKMEM_ATTR((warn_unused_result))

/** The version of the running library, "MAJOR.MINOR.PATCH".  The string is static. */
HAKMEM_API const char *hakmem_version(void) HAKMEM_NOTHROW;

/** @name The C standard's functions @{ */

/**
 * Allocates a block of at least `size` bytes, its contents undefined.  hakmem_malloc(0) returns a block that is
 * unlike all others and may be freed, but not written to.
 * @return the block, or NULL with errno ENOMEM (also for every size above PTRDIFF_MAX).
 */
HAKMEM_API void *hakmem_malloc(size_t size) HAKMEM_NOTHROW HAKMEM_ALLOCATES HAKMEM_ATTR((alloc_size(1)));

/** Allocates `count * size` bytes that read as zero.  NULL with ENOMEM also if the product overflows. */
HAKMEM_API void *hakmem_calloc(size_t count, size_t size) HAKMEM_NOTHROW HAKMEM_ALLOCATES
    HAKMEM_ATTR((alloc_size(1, 2)));

/**
 * Resizes `block` to at least `size` bytes; its contents up to the smaller of both sizes are kept, and the block may
 * move.  A NULL block is hakmem_malloc(size).  As in glibc, size 0 frees the block and returns NULL, and a block
 * that was aligned by more than 16 bytes keeps that alignment only if it does not move.
 * @return the block, or NULL with errno ENOMEM; then the old block is untouched and still allocated.
 */
HAKMEM_API void *hakmem_realloc(void *block, size_t size) HAKMEM_NOTHROW HAKMEM_ATTR((warn_unused_result))
    HAKMEM_ATTR((alloc_size(2)));

/** Frees `block`; does nothing for NULL.  errno is left alone. */
HAKMEM_API void hakmem_free(void *block) HAKMEM_NOTHROW;

/**
 * Allocates `size` bytes at a multiple of `alignment`, a power of two (C11 aligned_alloc; as C17 asks, `size` need
 * not be a multiple of it).
 * @return the block, or NULL with errno EINVAL (alignment is no power of two) or ENOMEM.
 */
HAKMEM_API void *hakmem_aligned_alloc(size_t alignment, size_t size) HAKMEM_NOTHROW HAKMEM_ALLOCATES
    HAKMEM_ATTR((alloc_size(2)));

/**
 * Frees a block that hakmem_malloc, _calloc or _realloc returned for exactly `size` bytes (C23 free_sized).  A size
 * that cannot be that block's is a programming error: it is reported and the process aborted.
 */
HAKMEM_API void hakmem_free_sized(void *block, size_t size) HAKMEM_NOTHROW;

/**
 * Frees a block that hakmem_aligned_alloc returned for exactly this `alignment` and `size` (C23 free_aligned_sized).
 * Values that cannot be that block's are a programming error, as for hakmem_free_sized.
 */
HAKMEM_API void hakmem_free_aligned_sized(void *block, size_t alignment, size_t size) HAKMEM_NOTHROW;

/** @} @name POSIX, BSD and GNU functions @{ */

/**
 * Resizes `block` to `count * size` bytes, as hakmem_realloc does.
 * @return the block, or NULL with errno ENOMEM, also if the product overflows; then the old block is untouched.
 */
HAKMEM_API void *hakmem_reallocarray(void *block, size_t count, size_t size) HAKMEM_NOTHROW
    HAKMEM_ATTR((warn_unused_result)) HAKMEM_ATTR((alloc_size(2, 3)));

/**
 * Stores in `*out` a block of `size` bytes at a multiple of `alignment`, a power of two and a multiple of
 * sizeof(void *).
 * @return 0, EINVAL or ENOMEM; on failure `*out` keeps its value.  errno is not used.
 */
HAKMEM_API int hakmem_posix_memalign(void **out, size_t alignment, size_t size) HAKMEM_NOTHROW
    HAKMEM_ATTR((warn_unused_result));

/**
 * Allocates `size` bytes at a multiple of `alignment`, which is rounded up to a power of two, as in glibc.
 * @return the block, or NULL with errno EINVAL (there is no such power of two) or ENOMEM.
 */
HAKMEM_API void *hakmem_memalign(size_t alignment, size_t size) HAKMEM_NOTHROW HAKMEM_ALLOCATES
    HAKMEM_ATTR((alloc_size(2)));

/** Allocates `size` bytes at a page boundary. */
HAKMEM_API void *hakmem_valloc(size_t size) HAKMEM_NOTHROW HAKMEM_ALLOCATES HAKMEM_ATTR((alloc_size(1)));

/** Allocates `size` bytes rounded up to whole pages, at a page boundary. */
HAKMEM_API void *hakmem_pvalloc(size_t size) HAKMEM_NOTHROW HAKMEM_ALLOCATES;

/** The number of bytes of `block` that may be used: at least the size that was asked for.  0 for NULL. */
HAKMEM_API size_t hakmem_malloc_usable_size(void *block) HAKMEM_NOTHROW;

/** Frees `block`: an old name of hakmem_free. */
HAKMEM_API void hakmem_cfree(void *block) HAKMEM_NOTHROW;

/** @} @name glibc's introspection and control @{ */

/**
 * A summary of the whole process, in bytes but for `hblks`:
 *   arena     memory for blocks of up to 64 MiB, live and free
 *   uordblks  live blocks in `arena`
 *   fordblks  all else in `arena`
 *   fsmblks   of `fordblks`, blocks in magazines, depots and outboxes
 *   keepcost  what hakmem_malloc_trim could give back at once
 *   hblks     the number of live blocks above 64 MiB
 *   hblkhd    these blocks
 * All other members are 0.
 */
HAKMEM_API struct mallinfo2 hakmem_mallinfo2(void) HAKMEM_NOTHROW;

/** The summary of hakmem_mallinfo2 in members of type int: a value beyond INT_MAX reads INT_MAX. */
HAKMEM_API struct mallinfo hakmem_mallinfo(void) HAKMEM_NOTHROW;

/**
 * Writes a summary to `stream` as XML in glibc's form, with one heap element for each heap of libhakmem.
 * @return 0, or -1 with errno EINVAL if `options` is not 0, or as the stream set it if writing failed.
 */
HAKMEM_API int hakmem_malloc_info(int options, FILE *stream);

/** Writes a summary for people to standard error. */
HAKMEM_API void hakmem_malloc_stats(void);

/**
 * Gives free memory of all heaps back to the kernel, but keeps about `pad` bytes.  Pages of slabs with live blocks
 * stay, and so do the magazines of other threads: each thread's hold at most 1 MiB and a few blocks of each class.
 * @return 1 if any memory was given back, else 0.
 */
HAKMEM_API int hakmem_malloc_trim(size_t pad) HAKMEM_NOTHROW;

/**
 * Gives all free memory of the process back to the kernel that can go back, whichever thread has freed it; the
 * magazines of other threads stay.  Free memory goes back by itself after a while; this call is for a program that
 * knows that it will not need the memory soon.
 * @return how many bytes were given back.
 */
HAKMEM_API size_t hakmem_purge(void) HAKMEM_NOTHROW;

/**
 * A callback for memory pressure: the process holds `held` bytes from the kernel, more than the soft `limit` (the knob
 * limit_soft of hakmem_tune(3)), although all free memory has been given back.  `data` is the argument of
 * hakmem_on_pressure.
 */
typedef void hakmem_pressure_callback(size_t held, size_t limit, void *data);

/**
 * Sets the callback for memory pressure.  The thread whose allocation exceeds the soft limit calls it before the
 * allocation returns, and calls it again each time that the excess grows by a thirty-second of the limit.  The callback
 * may allocate and free; while one call runs, there is no other.  It has to return: if it leaves by longjmp() or
 * pthread_exit(), it is never called again, and the soft limit has no effect any more.  NULL removes the callback; a
 * call that has begun may still be running then.
 */
HAKMEM_API void hakmem_on_pressure(hakmem_pressure_callback *callback, void *data) HAKMEM_NOTHROW;

/**
 * Sets a tuning parameter of glibc.  M_TRIM_THRESHOLD sets the knob keep_free, to its largest value if `value` is
 * negative.  Parameters that only advise glibc's malloc are accepted and change nothing.
 * @return 1 if the parameter was accepted, 0 if there is no such parameter or glibc refuses the value.
 */
HAKMEM_API int hakmem_mallopt(int parameter, int value) HAKMEM_NOTHROW;

/**
 * @} @name Knobs: hakmem_tune(3) @{
 *
 * None of these functions allocates, and any thread may call them at any time.  The environment variable HAKMEM_TUNE,
 * in the grammar of hakmem_tune_parse(), is applied at the start.
 */

/** Whether a setting is valid, or was applied. */
enum hakmem_tune_status {
    HAKMEM_TUNE_OK,           /**< The setting is valid, or was applied. */
    HAKMEM_TUNE_SYNTAX,       /**< The setting has no '='. */
    HAKMEM_TUNE_UNKNOWN,      /**< There is no knob of this name. */
    HAKMEM_TUNE_BAD_VALUE,    /**< The value is not of the knob's type, or there is no such preset. */
    HAKMEM_TUNE_OUT_OF_RANGE, /**< The number is too small or too large. */
    HAKMEM_TUNE_TOO_LATE,     /**< The knob can only be set at the start, by HAKMEM_TUNE. */
    HAKMEM_TUNE_UNSUPPORTED   /**< This build on this system does not have the value. */
};

/** What the values of a knob are. */
enum hakmem_knob_type {
    HAKMEM_KNOB_BOOL,        /**< 0 or 1; written no or yes */
    HAKMEM_KNOB_ENUM,        /**< the index of one of the knob's words, from 0 */
    HAKMEM_KNOB_SIZE,        /**< in bytes; may be written with k, m, g or t for powers of 1024 */
    HAKMEM_KNOB_LIMIT,       /**< a size from 4 MiB, or 1 to 100: percent of the control group's limit; 0 for none */
    HAKMEM_KNOB_NUMBER,      /**< a count of something */
    HAKMEM_KNOB_MILLISECONDS /**< may be written with ms or s */
};

/** When a knob may be set. */
enum hakmem_knob_when {
    HAKMEM_KNOB_AT_START, /**< only by HAKMEM_TUNE */
    HAKMEM_KNOB_ANY_TIME  /**< by HAKMEM_TUNE and by the program */
};

/** A knob and its value.  All strings are static.  Later versions add members at the end only. */
struct hakmem_knob {
    const char *name;
    const char *meaning; /**< one line */
    const char *words;   /**< a BOOL's or ENUM's words in the order of their values, separated by '|'; else NULL */
    enum hakmem_knob_type type;
    enum hakmem_knob_when when;
    uint64_t least, most; /**< the range of values */
    uint64_t initial;     /**< the default value */
    uint64_t value;       /**< the value now */
};

/** Settings under one name.  All strings are static.  Later versions add members at the end only. */
struct hakmem_preset {
    const char *name;
    const char *meaning;  /**< one line */
    const char *settings; /**< in the grammar of hakmem_tune_parse() */
};

/** What is wrong with one setting in a string.  The structure is valid until the callback returns. */
struct hakmem_tune_problem {
    enum hakmem_tune_status status;
    size_t position, length; /**< where in the string the fault is, in bytes */
    const char *message;     /**< one line without a newline: the fault, and the nearest valid name or value */
    const char *nearest;     /**< the nearest knob, preset or word, or NULL */
};

/** A callback for each problem in a string, from left to right; `data` is the argument of hakmem_tune_parse(). */
typedef void hakmem_tune_complaint(const struct hakmem_tune_problem *problem, void *data);

/** Stores the value of a knob in `*value`. @return HAKMEM_TUNE_OK or HAKMEM_TUNE_UNKNOWN. */
HAKMEM_API enum hakmem_tune_status hakmem_tune_get(const char *name, uint64_t *value) HAKMEM_NOTHROW;

/** Sets a knob; the value that it has is accepted at any time. @return HAKMEM_TUNE_OK, or why the knob was not set. */
HAKMEM_API enum hakmem_tune_status hakmem_tune_set(const char *name, uint64_t value) HAKMEM_NOTHROW;

/**
 * Applies "name=value,name=value" from left to right; preset=name applies a preset.  For each setting that is wrong
 * `complain` is called, unless it is NULL; all other settings are applied.
 * @return HAKMEM_TUNE_OK, or the status of the first setting that was not applied.
 */
HAKMEM_API enum hakmem_tune_status hakmem_tune_parse(const char *settings, hakmem_tune_complaint *complain, void *data);

/**
 * Checks a string as hakmem_tune_parse() does, and applies nothing.
 * @return HAKMEM_TUNE_OK if a process could start with the string as its HAKMEM_TUNE, or the first status that is not.
 */
HAKMEM_API enum hakmem_tune_status hakmem_tune_check(const char *settings, hakmem_tune_complaint *complain, void *data);

/**
 * Writes a value of the knob to `buffer`, as hakmem_tune_parse() reads it, with a null byte at the end; what does not
 * fit into `size` bytes is cut off.
 * @return the whole length without the null byte; 0 if there is no such knob or the value is out of range.
 */
HAKMEM_API size_t hakmem_tune_format(const char *name, uint64_t value, char *buffer, size_t size) HAKMEM_NOTHROW;

/**
 * Describes the knob `number`, from 0, in `*knob`; `size` is sizeof *knob.
 * @return HAKMEM_TUNE_OK, or HAKMEM_TUNE_UNKNOWN if there are fewer.
 */
HAKMEM_API enum hakmem_tune_status hakmem_tune_knob(size_t number, struct hakmem_knob *knob, size_t size)
    HAKMEM_NOTHROW;

/**
 * Describes the preset `number`, from 0, in `*preset`; `size` is sizeof *preset.
 * @return HAKMEM_TUNE_OK, or HAKMEM_TUNE_UNKNOWN if there are fewer.
 */
HAKMEM_API enum hakmem_tune_status hakmem_tune_preset(size_t number, struct hakmem_preset *preset, size_t size)
    HAKMEM_NOTHROW;

/** A text for a status, which ends a sentence that begins with the setting.  The string is static. */
HAKMEM_API const char *hakmem_tune_strerror(enum hakmem_tune_status status) HAKMEM_NOTHROW;

/** @} @name Statistics @{ */

/**
 * What the allocator holds, for the whole process.  Members whose name ends in _bytes are in bytes; all others are
 * numbers of what they are called.  "So far" is since the process began; the child of a fork goes on from its parent's
 * figures.  Later versions add members at the end only.
 *
 * While no other thread allocates or frees, these equations hold exactly:
 *   live = small + large + huge
 *   slab_bytes = small + magazine + depot + outbox + free + waste bytes
 *   superslab_bytes = slab_bytes + large_bytes + unit_bytes
 *   mapped_bytes = superslab_bytes + huge_bytes + cached_bytes + own_bytes
 *   committed_bytes = mapped_bytes - unit_bytes + dirty_bytes
 */
struct hakmem_stats {
    uint32_t version; /**< HAKMEM_STATS_VERSION of the library */
    uint32_t size;    /**< how many bytes of this structure the library has filled in */
    uint32_t counted; /**< 1; 0 if the library was built without statistics, and some figures are 0 */
    uint32_t classes; /**< how many size classes there are */

    size_t live_blocks;  /**< blocks that the program owns */
    size_t live_bytes;   /**< usable bytes of these, as hakmem_malloc_usable_size tells them */
    size_t small_blocks; /**< live blocks of size classes, of up to 128 KiB */
    size_t small_bytes;
    size_t large_blocks; /**< live blocks above 128 KiB, of up to 64 MiB */
    size_t large_bytes;
    size_t huge_blocks; /**< live blocks above 64 MiB */
    size_t huge_bytes;
    size_t magazine_blocks; /**< free blocks in threads' magazines */
    size_t magazine_bytes;
    size_t depot_blocks; /**< free blocks in heaps' depots */
    size_t depot_bytes;
    size_t outbox_blocks; /**< free blocks on their way to the heap that owns them */
    size_t outbox_bytes;
    size_t free_blocks; /**< free blocks in slabs */
    size_t free_bytes;

    size_t slabs; /**< what size classes cut into blocks */
    size_t slab_bytes;
    size_t waste_bytes; /**< ends of slabs that are too short for a block */
    size_t superslabs;  /**< where slabs and large blocks lie */
    size_t superslab_bytes;
    size_t unit_bytes;   /**< free parts of superslabs, for any slab or large block */
    size_t dirty_bytes;  /**< of unit_bytes, those that hold memory */
    size_t cached_bytes; /**< freed huge blocks that are kept for reuse */
    size_t own_bytes;    /**< the allocator's own structures */

    size_t mapped_bytes;      /**< all that is mapped, readable and writable */
    size_t mapped_peak_bytes; /**< the peak of mapped_bytes */
    size_t committed_bytes;   /**< of mapped_bytes, all that may be resident */
    size_t resident_bytes;    /**< resident memory of the whole process; 0 if /proc cannot be read */
    size_t purged_bytes;      /**< free memory given back to the kernel, so far */
    size_t hugepage_bytes;    /**< memory for which huge pages were asked, so far */

    size_t mmap_calls; /**< system calls, so far */
    size_t munmap_calls;
    size_t mremap_calls;
    size_t madvise_calls;
    size_t mprotect_calls;
    size_t futex_calls;
    size_t remote_frees; /**< blocks that came back to their heap from threads of other heaps, so far */
    size_t heaps;        /**< heaps, which are never taken away */
    size_t threads; /**< threads that have allocated or freed and have not exited */
};
#define HAKMEM_STATS_VERSION 1

/** One size class; members are as in struct hakmem_stats.  Large and huge blocks are of no class. */
struct hakmem_stats_class {
    uint32_t version;   /**< HAKMEM_STATS_VERSION of the library */
    uint32_t size;      /**< how many bytes of this structure the library has filled in */
    size_t block_bytes; /**< usable size of a block */
    size_t live_blocks;
    size_t magazine_blocks;
    size_t depot_blocks;
    size_t outbox_blocks;
    size_t free_blocks;
    size_t slabs;
    size_t slab_bytes;
    size_t waste_bytes;
};

/** One heap: the blocks in its slabs, whichever thread has them; members are as in struct hakmem_stats. */
struct hakmem_stats_heap {
    uint32_t version; /**< HAKMEM_STATS_VERSION of the library */
    uint32_t size;    /**< how many bytes of this structure the library has filled in */
    size_t threads;   /**< threads that allocate from the heap now */
    size_t live_blocks;
    size_t live_bytes;
    size_t magazine_blocks;
    size_t magazine_bytes;
    size_t depot_blocks;
    size_t depot_bytes;
    size_t outbox_blocks; /**< the heap's blocks in the outboxes of all threads */
    size_t outbox_bytes;
    size_t free_blocks;
    size_t free_bytes;
    size_t slabs;
    size_t slab_bytes;
    size_t waste_bytes;
    size_t remote_frees;
};

/**
 * Takes a snapshot of the whole process, and stores the first `size` bytes of it; `size` is normally sizeof *stats.  No
 * thread is stopped, and nothing is allocated; each heap is locked while it is read.  The time grows with the number of
 * heaps and threads.
 * @return 0, or -1 with errno EINVAL if `size` is less than 16.
 */
HAKMEM_API int hakmem_stats_get(struct hakmem_stats *stats, size_t size) HAKMEM_NOTHROW;

/**
 * Takes a snapshot of size class `index`, from 0, as hakmem_stats_get() does of the process.
 * @return 0, or -1 with errno EINVAL if there is no such class or `size` is less than 8.
 */
HAKMEM_API int hakmem_stats_get_class(size_t index, struct hakmem_stats_class *stats, size_t size) HAKMEM_NOTHROW;

/**
 * Takes a snapshot of heap `index`, from 0, as hakmem_stats_get() does of the process.  Heap 0 serves threads that have
 * no heap of their own.
 * @return 0, or -1 with errno EINVAL if there is no such heap or `size` is less than 8.
 */
HAKMEM_API int hakmem_stats_get_heap(size_t index, struct hakmem_stats_heap *stats, size_t size) HAKMEM_NOTHROW;

/** The forms of a snapshot as text. */
enum hakmem_stats_format {
    HAKMEM_STATS_TEXT,       /**< for people */
    HAKMEM_STATS_JSON,       /**< one object */
    HAKMEM_STATS_PROMETHEUS /**< Prometheus text format, version 0.0.4 */
};

/**
 * Writes a snapshot of the process, all size classes with slabs and all heaps as text, in pieces: by calls of
 * write(arg, text, length), or to standard error if `write` is NULL.  Nothing is allocated.  No lock is held during the
 * calls of `write`, which may allocate and free.
 * @return 0, or -1 with errno EINVAL if there is no such format.
 */
HAKMEM_API int hakmem_stats_print(enum hakmem_stats_format format,
                                  void (*write)(void *arg, const char *text, size_t length), void *arg);

/**
 * Calls visit(arg, block, usable_size, size_class) for each live block of the process, in no particular order;
 * size_class is -1 for a large or huge block.  The walk ends when a call does not return 0.  No lock is held during the
 * calls, which may allocate and free.
 *
 * A block that is live during the whole walk is visited once.  A block that is allocated or freed meanwhile may be
 * visited or not, and may be free when it is visited; so may a free block that another thread's magazine takes in or
 * gives out.
 * @return what the last call of `visit` returned, or 0.
 */
HAKMEM_API int hakmem_walk(int (*visit)(void *arg, void *block, size_t usable_size, int size_class), void *arg);

/** @} */

#ifdef __cplusplus
}
#endif
#endif /* HAKMEM_H */
