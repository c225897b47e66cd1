#!/bin/sh
# SPDX-License-Identifier: MIT
# The messages of the commits after the last tag, as HACKING wants them; without a tag after this test was added.
# shellcheck source-path=SCRIPTDIR source=tap.subr
. "${top_srcdir:-$(dirname "$0")/..}/tests/tap.subr"
{ have git && [ -e "$top_srcdir/.git" ]; } || skip_all "not a git repository"
cd "$top_srcdir" || exit 99
# Of a folder that belongs to somebody else, as in a container, git says nothing.
first=$(git describe --tags --abbrev=0 2>/dev/null) ||
    first=$(git log --diff-filter=A --format=%H -- tests/commits.sh 2>/dev/null | tail -n 1)
[ "$first" ] || skip_all "git does not tell the history"

git log --no-merges --format='%h%x01%s%x01%b%x02' "$first".. 2>/dev/null | tr '\n\002' ' \n' | awk -F '\001' '
    { sub(/^ +/, "", $1) }
    $1 == "" { next }
    length($2) > 72 { print $1 ": the subject has " length($2) " characters: " $2 }
    $2 ~ /\.$/ { print $1 ": the subject ends with a full stop: " $2 }
    $3 !~ /[a-z]/ { print $1 ": nothing says why: " $2 }
    ' >"$scratch/wrong"
[ ! -s "$scratch/wrong" ]
ok $? "subjects of at most 72 characters without a full stop, and bodies that say why"
note "$scratch/wrong"
finish
