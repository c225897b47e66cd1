/* SPDX-License-Identifier: MIT */
/*
 * misuse.h - the end of a program that misused its memory: one line on standard error, then abort.
 *
 * Misuse is often found under a lock.  But abort() runs the program's handler of SIGABRT, which may allocate, fork or
 * wait for other threads, and standard error may be a pipe that is full.  So whoever finds misuse only notes it, for
 * the calling thread, and leaves all structures as if the wrong call had not been made.  hak_misuse_report() writes the
 * line and aborts; each call of the program makes it at its end, when it holds no lock.  With on_misuse=report there
 * is only the line.
 *
 * Nothing here allocates or takes a lock.
 */
#ifndef HAK_MISUSE_H
#define HAK_MISUSE_H

#include "base/base.h"
#include "base/tls.h"

#pragma GCC visibility push(hidden)
/* Each of these notes one misuse; `call` is the libc name of the call that was given the pointer, a constant. */
/* A block that is free already; its size is 0 if that is not known, as the block's slab is gone. */
HAK_COLD void hak_misuse_double_free(const char *call, const void *p, size_t block_size);
/* The address lies in this block, which does not begin there. */
HAK_COLD void hak_misuse_within(const char *call, const void *p, const void *block, size_t block_size);
/* No block is there: the page map tells whether one began there, may have been there, or never was. */
HAK_COLD void hak_misuse_foreign(const char *call, const void *p);
/* No block is there, but there may have been one. */
HAK_COLD void hak_misuse_dead(const char *call, const void *p);
HAK_COLD void hak_misuse_size(const char *call, const void *p, size_t size, size_t block_size);

HAK_COLD void hak_misuse_report_noted(void);
#pragma GCC visibility pop

/* Reports what the calling thread has noted.  The caller holds no lock. */
HAK_INLINE void hak_misuse_report(void)
{
    if (HAK_UNLIKELY(hak_tls.misuses))
        hak_misuse_report_noted();
}

#endif
