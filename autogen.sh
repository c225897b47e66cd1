#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes ./configure in a clone; a release tarball has it already.
set -eu
cd "$(dirname "$0")"
exec autoreconf --force --install "$@"
