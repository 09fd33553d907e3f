#!/usr/bin/env bash
# Installs the database servers that the tests start privately, where they are missing and apt-get may be
# used. Nothing is started here: the tests start servers of their own, in folders and on ports of their own.
set -euo pipefail

policy=/usr/sbin/policy-rc.d

find_program() { # NAME [FOLDER...]
    command -v "$1" && return
    local name=$1 folder
    shift
    for folder in "$@"; do
        if [ -x "$folder/$name" ]; then
            echo "$folder/$name"
            return
        fi
    done
    return 1
}

has_mariadb() {
    find_program mariadbd /usr/sbin /usr/local/sbin /usr/libexec >/dev/null &&
        find_program mariadb-install-db /usr/bin /usr/local/bin >/dev/null
}

has_postgresql() {
    find_program initdb /usr/lib/postgresql/*/bin /usr/local/pgsql/bin >/dev/null
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_install() {
    command -v apt-get >/dev/null || { reason="there is no apt-get"; return 1; }
    as_root true 2>/dev/null || { reason="only root may install it"; return 1; }
}

apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 "$@" </dev/null
}

install() { apt_get install -y --no-install-recommends "$@" >/dev/null; }

policy_is_ours=
forbid_starts() {
    # With noclobber, a policy that stands there already is never overwritten.
    if as_root sh -c "set -C; printf '#!/bin/sh\nexit 101\n' >$policy" 2>/dev/null; then
        policy_is_ours=yes
        as_root chmod 755 "$policy"
    else
        echo "$policy stands already and is left as it is."
    fi
}
allow_starts() {
    [ -z "$policy_is_ours" ] || as_root rm -f "$policy"
    policy_is_ours=
}

missing=()
has_mariadb || missing+=(mariadb)
has_postgresql || missing+=(postgresql)
[ ${#missing[@]} -gt 0 ] || exit 0

reason=
if may_install; then
    trap allow_starts EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    forbid_starts
    reason="apt-get could not install it (see above)"
    echo "Installing database servers for the tests (not starting them): ${missing[*]} ..."
    # A stale list of packages may do, so a failing update is no reason to stop.
    apt_get update || true
    for server in "${missing[@]}"; do
        case $server in
            # The core package holds the programs without a system service; older systems lack that name.
            mariadb)
                install mariadb-server-core mariadb-client-core || install mariadb-server || true
                ;;
            postgresql)
                install postgresql || true
                ;;
        esac
    done
    allow_starts
fi

failed=0
for server in "${missing[@]}"; do
    if ! "has_$server"; then
        echo "!!! MISSING: $server server - $reason; its tests will not run." >&2
        failed=1
    fi
done
# At home the tests of a missing server are skipped; in CI that would hide that they never ran.
[ -z "${CI:-}" ] || exit "$failed"
