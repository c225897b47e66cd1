#!/bin/sh
# SPDX-License-Identifier: MIT
# Tests the report in its three forms.
. "${top_srcdir:-.}/profile/tests/suite.subr"
suite test_report
