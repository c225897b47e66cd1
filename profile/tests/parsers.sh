#!/bin/sh
# SPDX-License-Identifier: MIT
# Tests the parsers of perf, callgrind, strace and the counting library.
. "${top_srcdir:-.}/profile/tests/suite.subr"
suite test_perfstat test_perfreport test_parsers
