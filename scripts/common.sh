# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# What scripts/demo and scripts/check share.  To be sourced with `source_dir` set.

: "${source_dir:?}"

die()
{
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Says what is run before it is run.
run()
{
    printf '$ %s\n' "$*" >&2
    "$@"
}

# Makes sure that these Debian packages are installed.  On another system what they hold has to be there already.
need_packages()
{
    command -v apt-get >/dev/null || return 0
    missing=
    for package; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' ||
            missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    sudo=
    if [ "$(id -u)" -ne 0 ]; then
        sudo=sudo
        command -v sudo >/dev/null || die "needs these packages; install them or run as root:$missing"
    fi
    run $sudo apt-get update -q
    # No package of these may ask questions, and none brings a service.
    # shellcheck disable=SC2086
    run $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing ||
        die "could not install:$missing"
}

# Puts a redis-server into PATH where only redis-tools is installed.  The package redis-server would start a service
# and adds no more than this link.
have_redis_server()
{
    ! command -v redis-server >/dev/null || return 0
    file=$(command -v redis-check-rdb) || return 0
    mkdir -p "$1"
    ln -sf "$file" "$1/redis-server"
    PATH=$1:$PATH
    export PATH
}

# configure_in DIR OPTION...: a build folder, configured once with these options.
configure_in()
{
    dir=$1
    shift
    [ ! -e "$source_dir/config.status" ] ||
        die "there is a build in the source folder; run 'make distclean' there first"
    # Later on, make itself notices what changed.
    [ -x "$source_dir/configure" ] || run "$source_dir/autogen.sh"
    mkdir -p "$dir"
    (cd "$dir" && run "$source_dir/configure" -q "$@")
}
