/* SPDX-License-Identifier: MIT */
/*
 * annotate.h - which lock guards what, in a form that clang checks (-Wthread-safety) and gcc skips.
 *
 *   HAK_GUARDED_BY(lock)     a variable is read and written with the lock held
 *   HAK_GUARDED(lock)        a member is, by the lock beside it: told to readers only, as clang checks in C no member
 *                            that another member guards (one that a global lock guards has HAK_GUARDED_BY)
 *   HAK_REQUIRES(lock)       the caller of the function holds the lock
 *   HAK_EXCLUDES(lock)       the caller does not hold the lock: the function takes it
 *   HAK_ACQUIRES(lock), HAK_RELEASES(lock), HAK_TRY_ACQUIRES(lock)   the function takes or releases the lock
 *   HAK_ASSERTS(lock)        the function ends the process, in a debug build, if the lock is not held
 *   HAK_UNCHECKED            the function is outside what the analysis can follow; a comment says why it is right
 *
 * Those of functions stand behind the parameters of a declaration, or on the line before a definition that has no
 * declaration.  What is read without a lock is atomic and has no HAK_GUARDED_BY; src/ORDERING says why that is right.
 */
#ifndef HAK_ANNOTATE_H
#define HAK_ANNOTATE_H

#if defined(__clang__)
#define HAK_ANNOTATE(x) __attribute__((x))
#else
#define HAK_ANNOTATE(x)
#endif

#define HAK_CAPABILITY(name) HAK_ANNOTATE(capability(name))
#define HAK_GUARDED_BY(lock) HAK_ANNOTATE(guarded_by(lock))
#define HAK_GUARDED(lock)
#define HAK_REQUIRES(lock) HAK_ANNOTATE(requires_capability(lock))
#define HAK_EXCLUDES(lock) HAK_ANNOTATE(locks_excluded(lock))
#define HAK_ACQUIRES(lock) HAK_ANNOTATE(acquire_capability(lock))
#define HAK_RELEASES(lock) HAK_ANNOTATE(release_capability(lock))
#define HAK_TRY_ACQUIRES(lock) HAK_ANNOTATE(try_acquire_capability(true, lock))
#define HAK_ASSERTS(lock) HAK_ANNOTATE(assert_capability(lock))
#define HAK_UNCHECKED HAK_ANNOTATE(no_thread_safety_analysis)

#endif
