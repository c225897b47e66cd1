# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# What the scripts that build and try packages share.  To be sourced with `source_dir` set.

: "${source_dir:?}"

# shellcheck source=scripts/common.sh
. "$source_dir/scripts/common.sh"

# Everything that these scripts write is below this folder.
# shellcheck disable=SC2034
packages_dir=$source_dir/build-package

# fresh_dir DIR: an empty folder that every user can read, as apt's fetchers are not root.
fresh_dir()
{
    rm -rf "$1"
    mkdir -p "$1"
    chmod 755 "$1"
}

# fresh_clone DIR: the commit that is checked out, in a clone without anything else.
fresh_clone()
{
    [ -e "$source_dir/.git" ] || die "packages are built from a clone of the repository, and $source_dir is none"
    # Whoever owns the clone, and whatever this user has told git to do with files.
    mkdir -p "$packages_dir"
    printf '[safe]\n\tdirectory = *\n' >"$packages_dir/gitconfig"
    GIT_CONFIG_GLOBAL=$packages_dir/gitconfig
    export GIT_CONFIG_GLOBAL
    [ -z "$(git -C "$source_dir" status --porcelain 2>/dev/null)" ] ||
        echo "${0##*/}: what is not committed is not packaged" >&2
    rm -rf "$1"
    run git clone -q --no-hardlinks "$source_dir" "$1"
}

# orig_tarball CLONE DIR: puts the source of Debian's packages into DIR; sets `tarball` and `version` as the next function
# does.  This is what git has, and gbp makes the same: the bytes are those of every release of Debian, whereas a
# configure script is another with each Autoconf.
orig_tarball()
{
    version=$(sed -n 's/^AC_INIT(\[[^]]*\], \[\([^]]*\)\].*/\1/p' "$1/configure.ac")
    tarball=$2/libhakmem_$version.orig.tar.gz
    git -C "$1" -c tar.umask=0002 archive --format=tar --prefix="libhakmem-$version/" HEAD | gzip -9 -n >"$tarball"
}

# dist_tarball CLONE: makes the release tarball there; `tarball` is its name and `version` that of the release.
dist_tarball()
{
    (
        cd "$1" || exit
        run ./autogen.sh >autogen.log 2>&1 || die "autogen.sh failed: $(cat autogen.log)"
        mkdir build-dist
        cd build-dist || exit
        run ../configure -q && run make -s dist
    )
    tarball=$(echo "$1"/build-dist/libhakmem-*.tar.xz)
    [ -f "$tarball" ] || die "make dist made no tarball"
    version=${tarball##*/libhakmem-}
    version=${version%.tar.xz}
}

# index_repository: makes an apt repository of the packages in the current folder.
index_repository()
{
    apt-ftparchive packages . >Packages
    apt-ftparchive -o APT::FTPArchive::Release::Origin=libhakmem -o APT::FTPArchive::Release::Label=libhakmem \
        release . >Release.new
    mv Release.new Release
}

# For those that make a chroot.
need_root()
{
    [ "$(id -u)" -eq 0 ] || die "makes and enters a chroot, which only root can; try sudo $0"
}

# enter_namespace SCRIPT ARGUMENT...: starts the script once more where its mounts and processes end with it.
enter_namespace()
{
    [ -z "${HAKMEM_IN_NAMESPACE-}" ] || return 0
    HAKMEM_IN_NAMESPACE=1
    export HAKMEM_IN_NAMESPACE
    exec unshare --mount --pid --fork --kill-child --mount-proc "$@"
}

# The code name of the release that runs here.
os_release()
{
    sed -n 's/^VERSION_CODENAME=//p' /etc/os-release
}

# chroot_archive FILE OPTION...: a minimal Debian of the release that runs here, from the sources of packages that are
# configured here, made by mmdebstrap with these options.
chroot_archive()
{
    archive=$1
    shift
    sources=
    for file in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
        [ -n "$sources" ] || [ ! -s "$file" ] || sources=$file
    done
    suite_archive "$(os_release)" "$archive" "$sources" "$@"
}

# suite_archive SUITE FILE SOURCES OPTION...: the same of any suite; without SOURCES mmdebstrap takes deb.debian.org.
suite_archive()
{
    suite=$1 archive=$2 sources=$3
    shift 3
    # Whether lists of packages that are old will do is this machine's to say: mirrors of one day are in use.
    eval "$(apt-config shell valid Acquire::Check-Valid-Until date Acquire::Check-Date)"
    # shellcheck disable=SC2086,SC2154
    run mmdebstrap --quiet --variant=minbase ${valid:+--aptopt="Acquire::Check-Valid-Until $valid"} \
        ${date:+--aptopt="Acquire::Check-Date $date"} "$@" "$suite" "$archive" $sources
}

# chroot_unpack FILE DIR: the chroot that `inside` runs commands in from now on.
chroot_unpack()
{
    root=$2
    if [ -d "$root" ]; then
        for place in proc sys dev/shm dev/pts; do
            ! mountpoint -q "$root/$place" || umount "$root/$place"
        done
    fi
    fresh_dir "$root"
    tar -xf "$1" -C "$root"
    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys"
    mkdir -p "$root/dev/shm" "$root/dev/pts"
    mount -t tmpfs tmpfs "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
}

inside()
{
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb \
        DEBIAN_FRONTEND=noninteractive ${http_proxy:+http_proxy="$http_proxy"} chroot "$root" "$@"
}

# own_root COMMAND...: runs it as root of a user namespace, where it may set up what would otherwise be the machine's.
own_root()
{
    fifos=$(mktemp -d)
    mkfifo "$fifos/pid" "$fifos/go"
    # shellcheck disable=SC2016
    unshare --user --mount sh -c 'echo $$ >"$0/pid"; read -r _ <"$0/go"; exec "$@"' "$fifos" "$@" &
    read -r child <"$fifos/pid"
    echo '0 0 4294967295' >"/proc/$child/uid_map"
    echo '0 0 4294967295' >"/proc/$child/gid_map"
    echo >"$fifos/go"
    status=0
    wait "$child" || status=$?
    rm -r "$fifos"
    return "$status"
}
