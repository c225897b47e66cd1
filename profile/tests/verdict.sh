#!/bin/sh
# SPDX-License-Identifier: MIT
# Tests the verdict, and the original's figures replayed.
. "${top_srcdir:-.}/profile/tests/suite.subr"
suite test_verdict test_seed
