#!/bin/sh
# SPDX-License-Identifier: MIT
# Tests hakmem profile on tiny programs.
. "${top_srcdir:-.}/tests/profile/suite.subr"
suite test_command
