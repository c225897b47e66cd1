/* SPDX-License-Identifier: MIT */
/*
 * cxx.c - C++ operator new and delete, in all their forms, by their mangled names (Itanium C++ ABI, LP64).  Owns
 * nothing.  Calls fast.h and slow.h.
 *
 * libstdc++'s own operators would call malloc and free; these save that call.  A program may replace any of them: all
 * are weak, for static links.  As [new.delete] asks, the array, sized and nothrow forms call the plain ones by name,
 * and these may be the program's.
 *
 * The library must not need libstdc++.  So the functions that an operator new calls when it fails are looked up at that
 * moment: first among weak references, which a program linked with libstdc++ has resolved, then in what is loaded.
 *
 * Sized delete does not use the size: the page map tells the class, and a program that passes a wrong size works with
 * other allocators.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* RTLD_DEFAULT */
#endif
#include <dlfcn.h>
#include <stdlib.h>

#include "front/fast.h"

#define EXPORT __attribute__((visibility("default"), weak))
#define UNUSED __attribute__((unused))

typedef void (*new_handler)(void);

extern new_handler _ZSt15get_new_handlerv(void) __attribute__((weak));
extern void _ZSt17__throw_bad_allocv(void) __attribute__((weak));

/* A function of the C++ library.  That is outside of the global scope if a plug-in of a C program has loaded it. */
static void *cxx_function(const char *name)
{
    static const char *const libraries[] = {"libstdc++.so.6", "libc++.so.1", "libc++abi.so.1"};
    void *found = dlsym(RTLD_DEFAULT, name);
    for (unsigned i = 0; !found && i < sizeof libraries / sizeof *libraries; i++) {
        void *library = dlopen(libraries[i], RTLD_LAZY | RTLD_NOLOAD);
        if (library)
            found = dlsym(library, name);
    }
    return found;
}

/* std::get_new_handler(), and the function that throws std::bad_alloc; NULL where there is no C++ library. */
struct cxx_runtime {
    new_handler (*get_handler)(void);
    void (*throw_bad_alloc)(void);
};

static struct cxx_runtime cxx_find_runtime(void)
{
    struct cxx_runtime runtime = {_ZSt15get_new_handlerv, _ZSt17__throw_bad_allocv};
    if (!runtime.get_handler)
        runtime.get_handler = (new_handler(*)(void))cxx_function("_ZSt15get_new_handlerv");
    if (!runtime.throw_bad_alloc)
        runtime.throw_bad_alloc = (void (*)(void))cxx_function("_ZSt17__throw_bad_allocv");
    return runtime;
}

/* [new.delete.single]: calls the new handler until memory is found or there is none; then throws, or returns NULL. */
HAK_COLD static void *cxx_new_failed(size_t align, size_t size, bool may_throw)
{
    struct cxx_runtime runtime = cxx_find_runtime();
    for (;;) {
        new_handler handler = runtime.get_handler ? runtime.get_handler() : NULL;
        if (!handler)
            break;
        handler();
        void *block = hak_malloc_aligned(align, size);
        if (block)
            return block;
    }
    if (!may_throw)
        return NULL;
    if (runtime.throw_bad_alloc)
        runtime.throw_bad_alloc();
    abort();
}

/* Plain new under names of our own, so that a program's replacement of the operator can be told from it. */
__attribute__((visibility("hidden"))) void *hak_new(size_t size);
__attribute__((visibility("hidden"))) void *hak_new_aligned(size_t size, size_t align);

void *hak_new(size_t size)
{
    void *block = hak_malloc(size);
    return HAK_LIKELY(block) ? block : cxx_new_failed(1, size, true);
}

void *hak_new_aligned(size_t size, size_t align)
{
    void *block = hak_malloc_aligned(align, size);
    return HAK_LIKELY(block) ? block : cxx_new_failed(align, size, true);
}

EXPORT void *_Znwm(size_t size) __attribute__((alias("hak_new")));
EXPORT void *_ZnwmSt11align_val_t(size_t size, size_t align) __attribute__((alias("hak_new_aligned")));

EXPORT void *_Znam(size_t size);
EXPORT void *_ZnamSt11align_val_t(size_t size, size_t align);

void *_Znam(size_t size)
{
    return _Znwm(size);
}

void *_ZnamSt11align_val_t(size_t size, size_t align)
{
    return _ZnwmSt11align_val_t(size, align);
}

/* The nothrow forms.  The new handler may throw, and only C++ code can catch that.  So if an allocation fails, or the
 * program has replaced the plain form, the C++ library's own nothrow form takes over, which calls the plain form and
 * catches.  A static program has no such form beside ours: there an exception of the handler goes through. */
typedef void *(*nothrow_new)(size_t size, const void *tag);
typedef void *(*nothrow_new_aligned)(size_t size, size_t align, const void *tag);

EXPORT void *_ZnwmRKSt9nothrow_t(size_t size, const void *tag);
EXPORT void *_ZnamRKSt9nothrow_t(size_t size, const void *tag);
EXPORT void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *tag);
EXPORT void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *tag);

void *_ZnwmRKSt9nothrow_t(size_t size, const void *tag)
{
    bool ours = _Znwm == hak_new;
    void *block = ours ? hak_malloc(size) : NULL;
    if (HAK_LIKELY(block))
        return block;
    nothrow_new next = (nothrow_new)dlsym(RTLD_NEXT, "_ZnwmRKSt9nothrow_t");
    if (next)
        return next(size, tag);
    return ours ? cxx_new_failed(1, size, false) : _Znwm(size);
}

void *_ZnamRKSt9nothrow_t(size_t size, const void *tag)
{
    return _ZnwmRKSt9nothrow_t(size, tag);
}

void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *tag)
{
    bool ours = _ZnwmSt11align_val_t == hak_new_aligned;
    void *block = ours ? hak_malloc_aligned(align, size) : NULL;
    if (HAK_LIKELY(block))
        return block;
    nothrow_new_aligned next = (nothrow_new_aligned)dlsym(RTLD_NEXT, "_ZnwmSt11align_val_tRKSt9nothrow_t");
    if (next)
        return next(size, align, tag);
    return ours ? cxx_new_failed(align, size, false) : _ZnwmSt11align_val_t(size, align);
}

void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *tag)
{
    return _ZnwmSt11align_val_tRKSt9nothrow_t(size, align, tag);
}

#define DELETE(name, args, body) \
    EXPORT void name args; \
    void name args \
    { \
        body; \
    }

/* operator delete and delete[]: plain and aligned; array, sized and nothrow forms call these */
DELETE(_ZdlPv, (void *block), hak_free(block))
DELETE(_ZdlPvSt11align_val_t, (void *block, UNUSED size_t align), hak_free(block))
DELETE(_ZdaPv, (void *block), _ZdlPv(block))
DELETE(_ZdlPvm, (void *block, UNUSED size_t size), _ZdlPv(block))
DELETE(_ZdaPvm, (void *block, UNUSED size_t size), _ZdaPv(block))
DELETE(_ZdlPvRKSt9nothrow_t, (void *block, UNUSED const void *tag), _ZdlPv(block))
DELETE(_ZdaPvRKSt9nothrow_t, (void *block, UNUSED const void *tag), _ZdaPv(block))
DELETE(_ZdaPvSt11align_val_t, (void *block, size_t align), _ZdlPvSt11align_val_t(block, align))
DELETE(_ZdlPvmSt11align_val_t, (void *block, UNUSED size_t size, size_t align), _ZdlPvSt11align_val_t(block, align))
DELETE(_ZdaPvmSt11align_val_t, (void *block, UNUSED size_t size, size_t align), _ZdaPvSt11align_val_t(block, align))
DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, (void *block, size_t align, UNUSED const void *tag),
       _ZdlPvSt11align_val_t(block, align))
DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, (void *block, size_t align, UNUSED const void *tag),
       _ZdaPvSt11align_val_t(block, align))
