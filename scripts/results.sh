# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Results, for scripts that try one thing after the other: a line each, and a last line with their numbers, which
# scripts/check adds up.  To be sourced with `title` set, which stands before each name.

: "${title:?}"
passed=0
failed=0
skipped=0

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM

# check NAME COMMAND...: what the command wrote is shown if it failed.
check()
{
    result_name=$1
    shift
    if "$@" >"$scratch/out" 2>&1; then
        passed=$((passed + 1))
        echo "PASS: $title: $result_name"
    else
        failed=$((failed + 1))
        echo "FAIL: $title: $result_name"
        tail -n 200 "$scratch/out" | sed 's/^/    /'
    fi
}

skip()
{
    skipped=$((skipped + 1))
    echo "SKIP: $title: $1: $2"
}

# The last line; the status says whether everything passed.
finish()
{
    echo "# $title: $passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
}
