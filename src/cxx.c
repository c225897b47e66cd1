/* SPDX-License-Identifier: MIT */
/*
 * cxx.c - C++ operator new and delete, in all their forms, by their mangled names (Itanium C++ ABI, LP64).  Owns
 * nothing.  Calls fast.h and slow.h.
 *
 * libstdc++'s own would call malloc and free; these save that call.  The library must not need libstdc++, so what an
 * operator new that fails has to do there is looked up when it fails: first among weak references, which a program
 * linked with libstdc++ has resolved, then in whatever has been loaded since.
 *
 * The sizes that sized delete is given are not used: the page map tells the class anyway, and programs that pass a
 * wrong one work elsewhere.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* RTLD_DEFAULT */
#endif
#include <dlfcn.h>
#include <stdlib.h>

#include "fast.h"

#define HAK_EXPORT __attribute__((visibility("default")))

typedef void (*new_handler)(void);

extern new_handler _ZSt15get_new_handlerv(void) __attribute__((weak));
extern void _ZSt17__throw_bad_allocv(void) __attribute__((weak));

/* What std::get_new_handler returns, and how std::bad_alloc is thrown; null where there is no C++ library. */
struct cxx_runtime {
    new_handler (*get_handler)(void);
    void (*throw_bad_alloc)(void);
};

static struct cxx_runtime find_runtime(void)
{
    struct cxx_runtime runtime = {_ZSt15get_new_handlerv, _ZSt17__throw_bad_allocv};
    if (!runtime.get_handler)
        runtime.get_handler = (new_handler(*)(void))dlsym(RTLD_DEFAULT, "_ZSt15get_new_handlerv");
    if (!runtime.throw_bad_alloc)
        runtime.throw_bad_alloc = (void (*)(void))dlsym(RTLD_DEFAULT, "_ZSt17__throw_bad_allocv");
    return runtime;
}

/* [new.delete.single]: calls the new handler until memory is found or there is none; then throws, or returns NULL. */
HAK_COLD static void *new_failed(size_t align, size_t size, bool may_throw)
{
    struct cxx_runtime runtime = find_runtime();
    for (;;) {
        new_handler handler = runtime.get_handler ? runtime.get_handler() : NULL;
        if (!handler)
            break;
        handler();
        void *block = hak_malloc_aligned(align, size);
        if (block)
            return block;
    }
    if (may_throw) {
        if (runtime.throw_bad_alloc)
            runtime.throw_bad_alloc();
        abort();
    }
    return NULL;
}

HAK_INLINE void *new_block(size_t size, bool may_throw)
{
    void *block = hak_malloc(size);
    return HAK_LIKELY(block) ? block : new_failed(1, size, may_throw);
}

HAK_INLINE void *new_aligned(size_t size, size_t align, bool may_throw)
{
    void *block = hak_malloc_aligned(align, size);
    return HAK_LIKELY(block) ? block : new_failed(align, size, may_throw);
}

#define NEW(name, args, call) \
    HAK_EXPORT void *name args; \
    void *name args \
    { \
        return call; \
    }

/* operator new and new[]: (size), (size, nothrow), (size, align), (size, align, nothrow) */
NEW(_Znwm, (size_t size), new_block(size, true))
NEW(_Znam, (size_t size), new_block(size, true))
NEW(_ZnwmRKSt9nothrow_t, (size_t size, const void *tag __attribute__((unused))), new_block(size, false))
NEW(_ZnamRKSt9nothrow_t, (size_t size, const void *tag __attribute__((unused))), new_block(size, false))
NEW(_ZnwmSt11align_val_t, (size_t size, size_t align), new_aligned(size, align, true))
NEW(_ZnamSt11align_val_t, (size_t size, size_t align), new_aligned(size, align, true))
NEW(_ZnwmSt11align_val_tRKSt9nothrow_t, (size_t size, size_t align, const void *tag __attribute__((unused))),
    new_aligned(size, align, false))
NEW(_ZnamSt11align_val_tRKSt9nothrow_t, (size_t size, size_t align, const void *tag __attribute__((unused))),
    new_aligned(size, align, false))

#define DELETE(name, args) \
    HAK_EXPORT void name args; \
    void name args \
    { \
        hak_free(block); \
    }
#define UNUSED __attribute__((unused))

/* operator delete and delete[]: plain, nothrow, sized, and each of them aligned */
DELETE(_ZdlPv, (void *block))
DELETE(_ZdaPv, (void *block))
DELETE(_ZdlPvRKSt9nothrow_t, (void *block, UNUSED const void *tag))
DELETE(_ZdaPvRKSt9nothrow_t, (void *block, UNUSED const void *tag))
DELETE(_ZdlPvm, (void *block, UNUSED size_t size))
DELETE(_ZdaPvm, (void *block, UNUSED size_t size))
DELETE(_ZdlPvSt11align_val_t, (void *block, UNUSED size_t align))
DELETE(_ZdaPvSt11align_val_t, (void *block, UNUSED size_t align))
DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, (void *block, UNUSED size_t align, UNUSED const void *tag))
DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, (void *block, UNUSED size_t align, UNUSED const void *tag))
DELETE(_ZdlPvmSt11align_val_t, (void *block, UNUSED size_t size, UNUSED size_t align))
DELETE(_ZdaPvmSt11align_val_t, (void *block, UNUSED size_t size, UNUSED size_t align))
