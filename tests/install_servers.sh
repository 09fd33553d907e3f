#!/usr/bin/env bash
# Installs the database servers that the tests start privately, what moves their clocks, and the browser in which they
# open pages, where they are missing and apt-get may be used. Nothing is started here: the tests start servers of their
# own, in folders and on ports of their own.
set -euo pipefail

policy=/usr/sbin/policy-rc.d

find_program() { # NAME [FOLDER...]
    command -v "$1" && return
    local name=$1 folder
    shift
    for folder in "$@"; do
        if [ -x "$folder/$name" ] || [[ $name == *.so && -r $folder/$name ]]; then
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

has_galera() {
    find_program libgalera_smm.so /usr/lib/galera /usr/lib64/galera-4 /usr/lib64/galera /usr/local/lib/galera >/dev/null &&
        find_program wsrep_sst_rsync /usr/bin /usr/local/bin >/dev/null && find_program rsync /usr/bin >/dev/null
}

has_postgresql() {
    find_program initdb /usr/lib/postgresql/*/bin /usr/local/pgsql/bin >/dev/null
}

has_chromium() {
    local name names=(chromium-headless-shell chromium chromium-browser google-chrome)
    [ -z "${CHROMIUM:-}" ] || names=("$CHROMIUM")
    for name in "${names[@]}"; do
        if find_program "$name" >/dev/null; then return; fi
    done
    return 1
}

has_faketime() {
    compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || [ -r /usr/local/lib/faketime/libfaketimeMT.so.1 ]
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
has_galera || missing+=(galera)
has_postgresql || missing+=(postgresql)
has_chromium || missing+=(chromium)
has_faketime || missing+=(faketime)
[ ${#missing[@]} -gt 0 ] || exit 0

reason=
if may_install; then
    trap allow_starts EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    forbid_starts
    reason="apt-get could not install it (see above)"
    echo "Installing for the tests (starting nothing): ${missing[*]} ..."
    # A stale list of packages may do, so a failing update is no reason to stop.
    apt_get update || true
    for program in "${missing[@]}"; do
        case $program in
            # The core package holds the programs without a system service; older systems lack that name.
            mariadb)
                install mariadb-server-core mariadb-client-core || install mariadb-server || true
                ;;
            # What copies the data to a node comes with the system service, which is not started.
            galera)
                install galera-4 rsync mariadb-server || true
                ;;
            postgresql)
                install postgresql || true
                ;;
            # Clocks that a test moves.
            faketime)
                install faketime || true
                ;;
            # Without a font there would be no text to look at. Some systems have only the whole browser.
            chromium)
                install chromium-headless-shell fonts-dejavu-core || install chromium fonts-dejavu-core || true
                ;;
        esac
    done
    allow_starts
fi

failed=0
for program in "${missing[@]}"; do
    if ! "has_$program"; then
        echo "!!! MISSING: $program - $reason; its tests will not run." >&2
        failed=1
    fi
done
# At home the tests of what is missing are skipped; in CI that would hide that they never ran.
[ -z "${CI:-}" ] || exit "$failed"
