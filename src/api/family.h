/* SPDX-License-Identifier: MIT */
/*
 * family.h - the functions of the malloc family, for two sets of names: hakmem.c includes it with HAK_NAME(f) as
 * hakmem_##f, interpose.c with libc's own names.  No other file includes it.
 *
 * The hot paths are inlined into each function, so that malloc calls nothing.
 */
#include <errno.h>
#include <limits.h>

#include "front/fast.h"
#include "process/init.h"
#include "process/thread.h"
#include "purge/trim.h"
#include "stats/mallinfo.h"
#include "os/libc_malloc.h"
#include "os/os.h"
#include "knobs/knobs.h"
#include "api/knobs.h"

#define HAK_EXPORT __attribute__((visibility("default")))

static bool family_is_power_of_two(size_t n)
{
    return n && !(n & (n - 1));
}

HAK_EXPORT void *HAK_NAME(malloc)(size_t size)
{
    return hak_malloc(size);
}

HAK_EXPORT void *HAK_NAME(calloc)(size_t count, size_t size)
{
    return hak_calloc(count, size);
}

HAK_EXPORT void HAK_NAME(free)(void *block)
{
    hak_free(block);
}

HAK_EXPORT void HAK_NAME(cfree)(void *block)
{
    hak_free(block);
}

HAK_EXPORT void HAK_NAME(free_sized)(void *block, size_t size)
{
    hak_free_sized(block, size);
}

HAK_EXPORT void HAK_NAME(free_aligned_sized)(void *block, size_t alignment, size_t size)
{
    hak_free_sized_unknown("free_aligned_sized", block, alignment, size);
}

HAK_EXPORT void *HAK_NAME(realloc)(void *block, size_t size)
{
    return hak_realloc(block, size);
}

HAK_EXPORT void *HAK_NAME(reallocarray)(void *block, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return hak_out_of_memory();
    return hak_realloc(block, bytes);
}

HAK_EXPORT void *HAK_NAME(aligned_alloc)(size_t alignment, size_t size)
{
    if (!family_is_power_of_two(alignment)) {
        errno = EINVAL;
        return NULL;
    }
    return hak_malloc_aligned(alignment, size);
}

HAK_EXPORT void *HAK_NAME(memalign)(size_t alignment, size_t size)
{
    if (alignment > (size_t)1 << 63) {
        errno = EINVAL;
        return NULL;
    }
    if (!family_is_power_of_two(alignment))
        alignment = alignment <= 16 ? 16 : (size_t)1 << (64 - __builtin_clzl(alignment - 1));
    if (alignment > PTRDIFF_MAX) /* valid, but no memory has it: ENOMEM, as glibc says */
        return hak_out_of_memory();
    return hak_malloc_aligned(alignment, size);
}

HAK_EXPORT int HAK_NAME(posix_memalign)(void **out, size_t alignment, size_t size)
{
    if (!family_is_power_of_two(alignment) || alignment % sizeof(void *))
        return EINVAL;
    int saved = errno;
    void *block = hak_malloc_aligned(alignment, size);
    if (!block) {
        errno = saved;
        return ENOMEM;
    }
    *out = block;
    return 0;
}

/* The first call of the process may be valloc() or pvalloc(): the size of a page is known after the start. */
static size_t family_page_size(void)
{
    if (!hak_os_page)
        hak_thread_tcache();
    return hak_os_page;
}

HAK_EXPORT void *HAK_NAME(valloc)(size_t size)
{
    return hak_malloc_aligned(family_page_size(), size);
}

HAK_EXPORT void *HAK_NAME(pvalloc)(size_t size)
{
    size_t page = family_page_size();
    if (size > PTRDIFF_MAX)
        return hak_out_of_memory();
    return hak_malloc_aligned(page, hak_round_up(size, page));
}

HAK_EXPORT size_t HAK_NAME(malloc_usable_size)(void *block)
{
    return hak_usable_size("malloc_usable_size", block);
}

HAK_EXPORT struct mallinfo2 HAK_NAME(mallinfo2)(void)
{
    return hak_knob_value(force_libc) ? hak_libc_mallinfo2() : hak_mallinfo2();
}

static int family_to_int(size_t n)
{
    return n > INT_MAX ? INT_MAX : (int)n;
}

HAK_EXPORT struct mallinfo HAK_NAME(mallinfo)(void)
{
    struct mallinfo2 wide = HAK_NAME(mallinfo2)();
    return (struct mallinfo){
        .arena = family_to_int(wide.arena),
        .hblks = family_to_int(wide.hblks),
        .hblkhd = family_to_int(wide.hblkhd),
        .fsmblks = family_to_int(wide.fsmblks),
        .uordblks = family_to_int(wide.uordblks),
        .fordblks = family_to_int(wide.fordblks),
        .keepcost = family_to_int(wide.keepcost),
    };
}

HAK_EXPORT int HAK_NAME(malloc_info)(int options, FILE *stream)
{
    return hak_knob_value(force_libc) ? hak_libc_malloc_info(options, stream) : hak_malloc_info(options, stream);
}

HAK_EXPORT void HAK_NAME(malloc_stats)(void)
{
    if (hak_knob_value(force_libc))
        hak_libc_malloc_stats();
    else
        hak_malloc_stats();
}

HAK_EXPORT int HAK_NAME(malloc_trim)(size_t pad)
{
    return hak_knob_value(force_libc) ? hak_libc_malloc_trim(pad) : hak_ready() && hak_trim(pad) != 0;
}

HAK_EXPORT int HAK_NAME(mallopt)(int parameter, int value)
{
    return hak_knob_value(force_libc) ? hak_libc_mallopt(parameter, value) : hak_mallopt(parameter, value);
}
