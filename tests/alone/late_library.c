/* SPDX-License-Identifier: MIT */
/* late_library.c - a library with static TLS, as libGL and libgomp have it: what there is of it is used up earlier. */
__attribute__((tls_model("initial-exec"))) _Thread_local char late_bytes[160] = {1};

int late_touch(void);
int late_touch(void) { return late_bytes[0]++; }
