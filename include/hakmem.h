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
 * hand out are programming errors: one line on standard error says which, and the process is aborted.  A block freed
 * twice, unless twice in a row, may be found only when the thread's free blocks go back to its heap, and may have been
 * handed out again by then; a library configured with --enable-debug finds every one at once.
 *
 * Everything here is available since version 0.1.0 unless a declaration names a later one.
 */
#ifndef HAKMEM_H
#define HAKMEM_H

#include <stddef.h>
#include <stdio.h>
#include <malloc.h>

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
 * Allocates a block of at least `size` bytes, its contents undefined.  hakmem_malloc(0) returns a unique block of
 * no usable length promise that may be freed.
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
 * A summary of the whole process's heap, in bytes: `arena` held from the kernel for blocks of up to 1 MiB, `hblks`
 * and `hblkhd` number and size of larger ones, `uordblks` in live blocks of up to 1 MiB, `fordblks` free in
 * `arena`, `fsmblks` of these in threads' magazines, `keepcost` returnable at once by hakmem_malloc_trim.
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
 * Sets a glibc tuning parameter.  M_TRIM_THRESHOLD (bytes of free memory that may be kept) is honoured.
 * @return 1 if the parameter was applied, 0 if libhakmem has nothing that it could set.
 */
HAKMEM_API int hakmem_mallopt(int parameter, int value) HAKMEM_NOTHROW;

/** @} */

#ifdef __cplusplus
}
#endif
#endif /* HAKMEM_H */
