#!/bin/bash
# The .deb packages, and their proof. `./dev package` calls it.
#
#   package.sh build              builds them for this machine's release: build-package/packages/
#   package.sh test [SUITE...]    for each suite (bookworm trixie): builds them in a root of that
#                                 release, installs them in a clean one, uses them, purges them
#   package.sh prove [SUITE...]   the same with the packages that the last `test` built
#
# The clean root is booted, too: the service runs under systemd itself.
# Roots are made by mmdebstrap once and kept below build-package/roots/ as tar files. As root only:
# chroot and mounts. What runs in a root has namespaces of its own, which end with its processes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
work=${STW_PACKAGE_DIR:-$source/build-package}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

build_packages="cmake,ninja-build,gcc,libc6-dev,pkgconf,libzmq3-dev,libczmq-dev,uthash-dev,\
libxxhash-dev,libpopt-dev,libjansson-dev,libncurses-dev,libsystemd-dev,\
python3-minimal,python3,dpkg-dev,file,gzip,\
lintian,bash-completion"
clean_packages="gcc,libc6-dev,make,cmake,pkgconf,man-db,bash-completion,ca-certificates"

say() { printf 'package: %s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }

# quietly COMMAND...: its output only when it fails
quietly() {
    local log
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1; then
        tail -n 60 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

# compile SOURCE BUILD: configures for packages and makes them; runs where the libraries are
compile() {
    local flags ldflags
    export DEB_BUILD_MAINT_OPTIONS=hardening=+all
    flags=$(dpkg-buildflags --get CPPFLAGS)
    ldflags=$(dpkg-buildflags --get LDFLAGS)
    quietly cmake -G Ninja -S "$1" -B "$2" -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=/usr \
        -DSTW_TESTS=OFF -DCMAKE_C_FLAGS="$flags" -DCMAKE_EXE_LINKER_FLAGS="$ldflags" \
        -DCMAKE_SHARED_LINKER_FLAGS="$ldflags"
    quietly nice ninja -C "$2"
    rm -rf "$2/packages"
    (cd "$2" && quietly cpack)
}

# ---- roots -------------------------------------------------------------------------------------

# The mirror that this machine's own apt takes its release from; $STW_MIRROR names another.
# shellcheck disable=SC1091,SC2016 # the machine's own file; apt expands
mirror=${STW_MIRROR:-$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' \
    'Created-By: Packages' | sed -n "s#/* $(. /etc/os-release && echo "$VERSION_CODENAME")\$##p" |
    head -n 1)}

# sources SUITE: its lines for apt
sources() {
    echo "deb [signed-by=$keyring] $mirror $1 main"
    echo "deb [signed-by=$keyring] $mirror $1-updates main"
    echo "deb [signed-by=$keyring] $mirror-security $1-security main"
    [ "$1" = bookworm ] && echo "deb [signed-by=$keyring] $mirror $1-backports main"
    return 0
}

# raft SUITE: where its libraft comes from. Debian 12's own is too old, and loses committed entries.
raft() { if [ "$1" = bookworm ]; then echo /bookworm-backports; fi; }

# msgpack SUITE: its development package, which was renamed
msgpack() { if [ "$1" = bookworm ]; then echo libmsgpack-dev; else echo libmsgpack-c-dev; fi; }

# root SUITE KIND PACKAGES: makes roots/SUITE-KIND.tar unless it is there, with these packages
root() {
    local tar=$work/roots/$1-$2.tar machine
    [ -s "$tar" ] && [ "$(cat "$tar.packages" 2>/dev/null)" = "$3" ] && return
    say "making a root of $1 ($2)"
    [ -n "$mirror" ] || fail "apt knows no mirror: apt-get update first, or name one in STW_MIRROR"
    mkdir -p "$work/roots"
    machine=$(mktemp)
    # this machine's own way to its mirror: a proxy, leniency about clocks
    apt-config dump | grep -E '^Acquire::(https?::|Check-)' >"$machine" || true
    quietly mmdebstrap --variant=minbase --format=tar --keyring="$keyring" --include="$3" \
        --dpkgopt=force-unsafe-io \
        --setup-hook="mkdir -p \"\$1/etc/apt/apt.conf.d\" \"\$1$(dirname "$keyring")\"" \
        --setup-hook="cp $keyring \"\$1$keyring\"" \
        --setup-hook="cp $machine \"\$1/etc/apt/apt.conf.d/99machine\"" \
        "$1" "$tar.part" - < <(sources "$1") || fail "cannot make a root of $1"
    rm -f "$machine"
    echo "$3" >"$tar.packages"
    mv "$tar.part" "$tar"
}

# unpack SUITE KIND: a fresh directory of that root; prints it
unpack() {
    local dir=$work/$1-$2
    rm -rf --one-file-system "$dir"
    mkdir -p "$dir"
    tar xf "$work/roots/$1-$2.tar" -C "$dir"
    cp -L /etc/resolv.conf "$dir/etc/resolv.conf" 2>/dev/null || true
    echo "$dir"
}

# inside DIR COMMAND...: in the root, with processes and mounts of its own that end with it
inside() {
    local dir=$1
    shift
    # shellcheck disable=SC2016 # expanded by the inner shell
    unshare --mount --pid --fork --kill-child --propagation private sh -c '
        mount -t proc proc "$1/proc" && mount -t tmpfs tmpfs "$1/run" &&
            mkdir "$1/run/lock" && chmod 1777 "$1/run/lock" &&
            root=$1 && shift && exec chroot "$root" env -i LC_ALL=C.UTF-8 TERM=dumb HOME=/root \
            PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"' \
        sh "$dir" "$@"
}

# booted DIR COMMAND...: boots the root with its own systemd as process 1 of new namespaces, without
# a network but loopback, runs the command beside it, and ends all of it
booted() {
    local dir=$1 group init status=0
    shift
    group=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)/steward-package-$$
    mkdir "$group"
    # shellcheck disable=SC2016 # expanded by the inner shells
    sh -c 'echo $$ >"$2/cgroup.procs"
        exec unshare --mount --pid --fork --kill-child --uts --ipc --net --cgroup \
            --propagation private sh -c "$3" sh "$1"' sh "$dir" "$group" '
        cd "$1" && mount --bind . . && cd "$1" && mount -t proc proc proc &&
        mount --rbind /dev dev && mount -t sysfs -o ro sysfs sys &&
        mount -t cgroup2 cgroup2 sys/fs/cgroup && mount -t tmpfs tmpfs run &&
        mount -t tmpfs tmpfs tmp && mkdir -p old && pivot_root . old && umount -l old &&
        exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
            /lib/systemd/systemd --system --log-target=journal' </dev/null >"$dir.boot" 2>&1 &
    init=$!
    for _ in $(seq 50); do
        pid=$(pgrep -P $init 2>/dev/null | head -n 1)
        [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = systemd ] && break
        sleep 0.2
    done
    nsenter -t "$pid" -m -p -u -i -n -C env -i LC_ALL=C.UTF-8 \
        PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@" || status=$?
    [ $status -eq 0 ] || tail -n 20 "$dir.boot"
    kill -KILL "$pid" 2>/dev/null
    wait $init 2>/dev/null || true
    rmdir_groups "$group"
    rm -f "$dir.boot"
    return $status
}

# rmdir_groups DIR: control groups go from the innermost on, once their processes are gone
rmdir_groups() {
    for _ in $(seq 20); do
        find "$1" -depth -type d -exec rmdir {} + 2>/dev/null && return
        sleep 0.2
    done
    return 0
}

# ---- commands ----------------------------------------------------------------------------------

package_build() {
    compile "$source" "$work"
    ls -l "$work"/packages/*.deb
}

# files: what belongs to the tree, each ended by NUL
files() {
    cd "$source"
    git ls-files -z -co --exclude-standard 2>/dev/null ||
        find . -path './build*' -prune -o -type f -print0
}

# build_in SUITE: packages/SUITE/*.deb, built in a root of that release
build_in() {
    local dir
    root "$1" build "$build_packages"
    dir=$(unpack "$1" build)
    mkdir -p "$dir/source" "$work/packages-$1"
    files | (cd "$source" && tar c --null --ignore-failed-read -T - 2>/dev/null) |
        tar x -C "$dir/source"
    say "$1: building the packages"
    quietly inside "$dir" apt-get -q update
    quietly inside "$dir" apt-get -q -y install --no-install-recommends "$(msgpack "$1")" \
        "libraft-dev$(raft "$1")" "libraft0$(raft "$1")"
    inside "$dir" /source/cmake/packaging/package.sh compile
    inside "$dir" sh -c 'lintian --allow-root --fail-on error --suppress-tags \
        initial-upload-closes-no-bugs /build/packages/*.deb'
    say "$1: lintian finds no errors"
    rm -f "$work/packages-$1"/*.deb
    cp "$dir"/build/packages/*.deb "$work/packages-$1/"
    rm -rf --one-file-system "$dir"
}

test_in() {
    local dir
    root "$1" clean "$clean_packages"
    dir=$(unpack "$1" clean)
    mkdir "$dir/proof"
    cp "$work/packages-$1"/*.deb "$here"/prove*.sh "$here"/example/* "$dir/proof/"
    inside "$dir" sh /proof/prove.sh "$1" "$(raft "$1")" || fail "$1: failed"
    quietly inside "$dir" sh -c 'apt-get -q -y install --no-install-recommends systemd-sysv \
        dbus /proof/stewardd_*.deb /proof/steward_*.deb'
    booted "$dir" sh /proof/prove_service.sh "$1" || fail "$1: the service failed"
    rm -rf --one-file-system "$dir"
}

# package_test BUILD [SUITE...]: BUILD is build_in, or `:` to take what is there
package_test() {
    local build=$1 suite started
    shift
    [ "$(id -u)" -eq 0 ] || fail "roots are made by root only: sudo ./dev package test"
    [ $# -gt 0 ] || set -- bookworm trixie
    for suite in "$@"; do
        started=$SECONDS
        case $suite in bookworm | trixie) ;; *) fail "there is no suite '$suite'" ;; esac
        $build "$suite"
        test_in "$suite"
        say "$suite: passed in $((SECONDS - started)) s"
    done
}

command=${1:-build}
[ $# -gt 0 ] && shift
case $command in
build) package_build ;;
compile) compile /source /build ;;
test) package_test build_in "$@" ;;
prove) package_test : "$@" ;;
*) fail "there is no '$command'; say build, test or prove" ;;
esac
