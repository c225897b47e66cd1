#!/bin/sh
# SPDX-License-Identifier: MIT
# Tests libhakmem-count.so.
. "${top_srcdir:-.}/tests/profile/suite.subr"
suite test_count
