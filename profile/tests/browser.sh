#!/bin/sh
# SPDX-License-Identifier: MIT
# Tests the HTML page in a headless browser, if there is one.
. "${top_srcdir:-.}/profile/tests/suite.subr"
suite test_browser
