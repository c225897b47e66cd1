#!/bin/sh
# SPDX-License-Identifier: MIT
# Tests hakmem profile on tiny programs.
. "${top_srcdir:-.}/profile/tests/suite.subr"
suite test_command
