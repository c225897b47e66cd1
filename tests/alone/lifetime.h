/* SPDX-License-Identifier: MIT */
/* lifetime.h - between lifetime.c and the library that outlives it. */
#ifndef HAKMEM_TESTS_LIFETIME_H
#define HAKMEM_TESTS_LIFETIME_H

void lifetime_register(void (*stage)(const char *), int (*end)(void));
void lifetime_stage(const char *name);
int lifetime_end(void);

#endif
