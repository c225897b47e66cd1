#!/bin/sh
# SPDX-License-Identifier: MIT
# Tests libhakmem-count.so.
. "${top_srcdir:-.}/profile/tests/suite.subr"
suite test_count
