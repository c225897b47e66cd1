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
 * A block that is freed twice, a pointer that is not the start of a block and a pointer that libhakmem did not
 * hand out are programming errors: one line on standard error says which, and the process is aborted (unless the knob
 * on_misuse of hakmem_tune(3) says otherwise).  A block freed
 * twice, unless twice in a row, may be found only when the thread's free blocks go back to its heap, and may have been
 * handed out again by then; a library configured with --enable-debug finds every one at once.
 *
 * Everything here is available since version 0.1.0 unless a declaration names a later one.
 */
#ifndef HAKMEM_H
#define HAKMEM_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <malloc.h>

/* What the C library may not know: musl has neither the two structs that the mallinfo functions return nor the number
 * of mallopt's parameter, glibc before 2.33 no struct mallinfo2. */
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

/** The same for a block of hakmem_aligned_alloc(alignment, size) (C23 free_aligned_sized). */
HAKMEM_API void hakmem_free_aligned_sized(void *block, size_t alignment, size_t size) HAKMEM_NOTHROW;

/** @} @name POSIX, BSD and GNU functions @{ */

/** hakmem_realloc(block, count * size); NULL with ENOMEM and the block untouched if the product overflows. */
HAKMEM_API void *hakmem_reallocarray(void *block, size_t count, size_t size) HAKMEM_NOTHROW
    HAKMEM_ATTR((warn_unused_result)) HAKMEM_ATTR((alloc_size(2, 3)));

/**
 * Stores in `*out` a block of `size` bytes at a multiple of `alignment`, a power of two and a multiple of
 * sizeof(void *).
 * @return 0, EINVAL or ENOMEM; on failure `*out` keeps its value.  errno is not used.
 */
HAKMEM_API int hakmem_posix_memalign(void **out, size_t alignment, size_t size) HAKMEM_NOTHROW
    HAKMEM_ATTR((warn_unused_result));

/** As hakmem_aligned_alloc, but an alignment that is no power of two is rounded up to one, as glibc does. */
HAKMEM_API void *hakmem_memalign(size_t alignment, size_t size) HAKMEM_NOTHROW HAKMEM_ALLOCATES
    HAKMEM_ATTR((alloc_size(2)));

/** Allocates `size` bytes at a page boundary. */
HAKMEM_API void *hakmem_valloc(size_t size) HAKMEM_NOTHROW HAKMEM_ALLOCATES HAKMEM_ATTR((alloc_size(1)));

/** Allocates `size` bytes rounded up to whole pages, at a page boundary. */
HAKMEM_API void *hakmem_pvalloc(size_t size) HAKMEM_NOTHROW HAKMEM_ALLOCATES;

/** The number of bytes of `block` that may be used, at least the size it was asked for; 0 for NULL. */
HAKMEM_API size_t hakmem_malloc_usable_size(void *block) HAKMEM_NOTHROW;

/** hakmem_free under its old name. */
HAKMEM_API void hakmem_cfree(void *block) HAKMEM_NOTHROW;

/** @} @name glibc's introspection and control @{ */

/**
 * A summary of the whole process's heap, in bytes: `arena` held from the kernel for blocks of up to 64 MiB, `hblks`
 * and `hblkhd` number and size of larger ones, `uordblks` in live blocks of up to 64 MiB, `fordblks` free in
 * `arena`, `fsmblks` of these in magazines, depots and outboxes, `keepcost` returnable at once by hakmem_malloc_trim.
 * All other fields are 0.
 */
HAKMEM_API struct mallinfo2 hakmem_mallinfo2(void) HAKMEM_NOTHROW;

/** The same in ints; a value beyond INT_MAX reads INT_MAX. */
HAKMEM_API struct mallinfo hakmem_mallinfo(void) HAKMEM_NOTHROW;

/**
 * Writes the heap's state to `stream` as XML, in glibc's form with one heap element a thread heap.
 * @return 0, or -1 with errno EINVAL if `options` is not 0, or as the stream set it if writing failed.
 */
HAKMEM_API int hakmem_malloc_info(int options, FILE *stream);

/** Prints a summary to standard error. */
HAKMEM_API void hakmem_malloc_stats(void);

/**
 * Gives free memory of all heaps back to the kernel, but for about `pad` bytes, and what pages of slabs in use and the
 * magazines of other threads hold; a thread's magazines hold no more than 1 MiB beyond a few blocks of each class.
 * @return 1 if any memory was given back, else 0.
 */
HAKMEM_API int hakmem_malloc_trim(size_t pad) HAKMEM_NOTHROW;

/**
 * Gives all free memory of the process back to the kernel that can be given back, whichever thread freed it, except what
 * other threads' magazines hold.  Free memory goes back by itself in the course of time; this is for a program that
 * knows that it will need none of it soon.
 * @return how many bytes went back.
 */
HAKMEM_API size_t hakmem_purge(void) HAKMEM_NOTHROW;

/**
 * Told that `held` bytes are held from the kernel, more than the soft `limit` (limit_soft in hakmem_tune(3)), after all
 * that was free has been given back.
 */
typedef void hakmem_pressure_callback(size_t held, size_t limit, void *data);

/**
 * Has `callback` called whenever the soft limit is passed, by the thread whose allocation passed it and before that call
 * returns, and again for each thirty-second of the limit more.  It may allocate and free, and is not called while it
 * runs.  It has to return: when it leaves by longjmp() or pthread_exit(), that was its last call, and the soft
 * limit has no effect any more.  NULL: nobody is told any more; a call that has begun may still be running.
 */
HAKMEM_API void hakmem_on_pressure(hakmem_pressure_callback *callback, void *data) HAKMEM_NOTHROW;

/**
 * Sets a glibc tuning parameter.  M_TRIM_THRESHOLD sets the knob keep_free, to its largest value if negative.
 * @return 1 if the parameter was applied, 0 if libhakmem has nothing that it could set.
 */
HAKMEM_API int hakmem_mallopt(int parameter, int value) HAKMEM_NOTHROW;

/**
 * @} @name Knobs: hakmem_tune(3) @{
 *
 * None of these allocates, and all are safe from any thread.  The environment variable HAKMEM_TUNE, in the grammar of
 * hakmem_tune_parse(), is applied at the start.
 */

/** What came of a setting. */
enum hakmem_tune_status {
    HAKMEM_TUNE_OK,           /**< It is right, or was applied. */
    HAKMEM_TUNE_SYNTAX,       /**< There is no '='. */
    HAKMEM_TUNE_UNKNOWN,      /**< There is no knob of this name. */
    HAKMEM_TUNE_BAD_VALUE,    /**< It is no value of this knob's type, or no preset. */
    HAKMEM_TUNE_OUT_OF_RANGE, /**< The number is too small or too large. */
    HAKMEM_TUNE_TOO_LATE,     /**< The knob can only be set at the start, by HAKMEM_TUNE. */
    HAKMEM_TUNE_UNSUPPORTED   /**< This build of the library on this system has no other value. */
};

enum hakmem_knob_type {
    HAKMEM_KNOB_BOOL,        /**< 0 or 1; written no or yes */
    HAKMEM_KNOB_ENUM,        /**< the number of one of its words, from 0 */
    HAKMEM_KNOB_SIZE,        /**< in bytes; may be written with k, m, g or t for powers of 1024 */
    HAKMEM_KNOB_LIMIT,       /**< a size from 4 MiB, or 1 to 100 (%), a share of what the control group may have */
    HAKMEM_KNOB_NUMBER,      /**< a count of something */
    HAKMEM_KNOB_MILLISECONDS /**< may be written with ms or s */
};

enum hakmem_knob_when {
    HAKMEM_KNOB_AT_START, /**< by HAKMEM_TUNE only */
    HAKMEM_KNOB_ANY_TIME  /**< by the program, too */
};

/** A knob, and what it is set to.  All strings are static. */
struct hakmem_knob {
    const char *name;
    const char *meaning; /**< one line */
    const char *words;   /**< of a BOOL or ENUM, by value, separated by '|'; else NULL */
    enum hakmem_knob_type type;
    enum hakmem_knob_when when;
    uint64_t least, most; /**< the range */
    uint64_t initial;     /**< the default */
    uint64_t value;       /**< now */
};

/** Settings under one name.  All strings are static. */
struct hakmem_preset {
    const char *name;
    const char *meaning;  /**< one line */
    const char *settings; /**< as for hakmem_tune_parse() */
};

/** What is wrong with one setting in a string.  Valid during the call that is given it. */
struct hakmem_tune_problem {
    enum hakmem_tune_status status;
    size_t position, length; /**< of what is wrong, in the string */
    const char *message;     /**< one line without a newline: what is wrong, and the nearest that would be right */
    const char *nearest;     /**< the nearest knob, preset or word, or NULL */
};

/** Is told of each problem in turn; `data` is the caller's. */
typedef void hakmem_tune_complaint(const struct hakmem_tune_problem *problem, void *data);

/** Stores in `*value` what the knob is set to. @return HAKMEM_TUNE_OK or HAKMEM_TUNE_UNKNOWN. */
HAKMEM_API enum hakmem_tune_status hakmem_tune_get(const char *name, uint64_t *value) HAKMEM_NOTHROW;

/** Sets a knob.  What it is set to already is right at any time. @return HAKMEM_TUNE_OK, or why it was not set. */
HAKMEM_API enum hakmem_tune_status hakmem_tune_set(const char *name, uint64_t value) HAKMEM_NOTHROW;

/**
 * Applies "name=value,name=value", from left to right; preset=name applies a preset.  What is wrong is told to
 * `complain` (may be NULL) and the rest applies.
 * @return HAKMEM_TUNE_OK, or the status of the first that was not applied.
 */
HAKMEM_API enum hakmem_tune_status hakmem_tune_parse(const char *settings, hakmem_tune_complaint *complain, void *data);

/** The same without applying anything: whether the string would be right as HAKMEM_TUNE of a process that starts. */
HAKMEM_API enum hakmem_tune_status hakmem_tune_check(const char *settings, hakmem_tune_complaint *complain, void *data);

/**
 * Writes a value of the knob to `buffer` as hakmem_tune_parse() reads it, cut off if `size` bytes are too few for it and
 * a null byte.
 * @return its length, cut off or not; 0 if there is no such knob or the value is out of its range.
 */
HAKMEM_API size_t hakmem_tune_format(const char *name, uint64_t value, char *buffer, size_t size) HAKMEM_NOTHROW;

/**
 * Describes the knob numbered `number`, from 0; `size` is sizeof(struct hakmem_knob).
 * @return HAKMEM_TUNE_OK, or HAKMEM_TUNE_UNKNOWN if there are fewer.
 */
HAKMEM_API enum hakmem_tune_status hakmem_tune_knob(size_t number, struct hakmem_knob *knob, size_t size)
    HAKMEM_NOTHROW;

/** The same for presets; `size` is sizeof(struct hakmem_preset). */
HAKMEM_API enum hakmem_tune_status hakmem_tune_preset(size_t number, struct hakmem_preset *preset, size_t size)
    HAKMEM_NOTHROW;

/** What a status means, as the end of a sentence that begins with what was set. */
HAKMEM_API const char *hakmem_tune_strerror(enum hakmem_tune_status status) HAKMEM_NOTHROW;

/** @} @name Statistics @{ */

/**
 * What the allocator holds, for the whole process.  Members whose name ends in _bytes are in bytes, the others are
 * numbers of what they are called; "so far" is since the process began, or since the fork for its child's own part.
 * Later versions add members at the end only.
 *
 * While no other thread allocates or frees, these hold exactly:
 *   live = small + large + huge
 *   slab_bytes = small + magazine + depot + outbox + free + waste bytes
 *   superslab_bytes = slab_bytes + large_bytes + unit_bytes
 *   mapped_bytes = superslab_bytes + huge_bytes + cached_bytes + own_bytes
 *   committed_bytes = mapped_bytes - unit_bytes + dirty_bytes
 */
struct hakmem_stats {
    uint32_t version; /**< of this structure: HAKMEM_STATS_VERSION of the library */
    uint32_t size;    /**< how many bytes of it the library has filled in */
    uint32_t counted; /**< 0 if the library was built without statistics: some figures are then 0 */
    uint32_t classes; /**< how many size classes there are */

    size_t live_blocks;  /**< blocks that the program owns */
    size_t live_bytes;   /**< what malloc_usable_size says of them, added up */
    size_t small_blocks; /**< live blocks of size classes, which is up to 128 KiB */
    size_t small_bytes;
    size_t large_blocks; /**< live blocks of up to 64 MiB */
    size_t large_bytes;
    size_t huge_blocks; /**< live blocks above */
    size_t huge_bytes;
    size_t magazine_blocks; /**< free blocks in threads' magazines */
    size_t magazine_bytes;
    size_t depot_blocks; /**< free blocks in heaps' depots */
    size_t depot_bytes;
    size_t outbox_blocks; /**< free blocks on their way to the heap that owns them */
    size_t outbox_bytes;
    size_t free_blocks; /**< free blocks in slabs */
    size_t free_bytes;

    size_t slabs;
    size_t slab_bytes;
    size_t waste_bytes; /**< ends of slabs that are too short for a block */
    size_t superslabs;
    size_t superslab_bytes;
    size_t unit_bytes;   /**< in superslabs, free for any slab or large block */
    size_t dirty_bytes;  /**< of these, holding memory */
    size_t cached_bytes; /**< freed huge blocks that are kept for reuse */
    size_t own_bytes;    /**< the allocator's own structures */

    size_t mapped_bytes;      /**< mapped by the allocator, readable and writable */
    size_t mapped_peak_bytes; /**< the most that was ever mapped */
    size_t committed_bytes;   /**< of what is mapped, all that may be in memory */
    size_t resident_bytes;    /**< of the whole process, in memory; 0 if /proc cannot be read */
    size_t purged_bytes;      /**< given back to the kernel, so far */
    size_t hugepage_bytes;    /**< for which huge pages were asked, so far */

    size_t mmap_calls; /**< system calls, so far */
    size_t munmap_calls;
    size_t mremap_calls;
    size_t madvise_calls;
    size_t mprotect_calls;
    size_t futex_calls;
    size_t remote_frees; /**< blocks that came back to their heap from threads of others, so far */
    size_t heaps;
    size_t threads; /**< threads that have allocated or freed and have not exited */
};
#define HAKMEM_STATS_VERSION 1

/** One size class: numbers of its blocks, as above.  Large and huge blocks are not of any class. */
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

/** One heap: the blocks in its slabs, whichever thread has them. */
struct hakmem_stats_heap {
    uint32_t version; /**< HAKMEM_STATS_VERSION of the library */
    uint32_t size;    /**< how many bytes of this structure the library has filled in */
    size_t threads;   /**< threads that allocate from it now */
    size_t live_blocks;
    size_t live_bytes;
    size_t magazine_blocks;
    size_t magazine_bytes;
    size_t depot_blocks;
    size_t depot_bytes;
    size_t outbox_blocks; /**< its blocks on their way home from any thread */
    size_t outbox_bytes;
    size_t free_blocks;
    size_t free_bytes;
    size_t slabs;
    size_t slab_bytes;
    size_t waste_bytes;
    size_t remote_frees;
};

/**
 * Takes a snapshot: of the first `size` bytes of the structure, normally sizeof *stats.  Nothing is stopped for it, and
 * nothing allocated; a heap is locked while it is read.  Takes a moment for each heap and thread.
 * @return 0, or -1 with errno EINVAL if `size` is less than 16.
 */
HAKMEM_API int hakmem_stats_get(struct hakmem_stats *stats, size_t size) HAKMEM_NOTHROW;

/** The same for size class `index`, from 0.  EINVAL also if there is no such class, or `size` is less than 8. */
HAKMEM_API int hakmem_stats_get_class(size_t index, struct hakmem_stats_class *stats, size_t size) HAKMEM_NOTHROW;

/** The same for heap `index`, from 0; the first is that of threads without one.  Heaps are never taken away. */
HAKMEM_API int hakmem_stats_get_heap(size_t index, struct hakmem_stats_heap *stats, size_t size) HAKMEM_NOTHROW;

enum hakmem_stats_format {
    HAKMEM_STATS_TEXT,       /**< for people */
    HAKMEM_STATS_JSON,       /**< one object */
    HAKMEM_STATS_PROMETHEUS /**< Prometheus text format, version 0.0.4 */
};

/**
 * Writes a snapshot of everything in pieces, by calls of write(arg, text, length), or to standard error if `write` is
 * NULL.  Nothing is allocated, and no lock is held during the calls, so that they may.
 * @return 0, or -1 with errno EINVAL if there is no such format.
 */
HAKMEM_API int hakmem_stats_print(enum hakmem_stats_format format,
                                  void (*write)(void *arg, const char *text, size_t length), void *arg);

/**
 * Calls visit(arg, block, usable size, class) for each live block of the process, in no particular order; class is -1
 * for a large or huge block.  Ends when a call does not return 0.  A block that is live from before the walk until
 * after it is visited once.  One that is allocated or freed meanwhile may be visited or not, and may be free by then;
 * so may a free one that another thread's magazines take in or give out.  No lock is held during the calls, so that
 * they may allocate and free.
 * @return what the last call returned, or 0.
 */
HAKMEM_API int hakmem_walk(int (*visit)(void *arg, void *block, size_t usable_size, int size_class), void *arg);

/** @} */

#ifdef __cplusplus
}
#endif
#endif /* HAKMEM_H */
