/* SPDX-License-Identifier: MIT */
/* tls.c - each thread's variables, which are its own.  Calls nothing. */
#include "base/tls.h"

__thread struct hak_tls hak_tls __attribute__((tls_model("initial-exec")));
