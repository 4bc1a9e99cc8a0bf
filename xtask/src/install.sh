# Installs the packages given and leaves none of their services running or enabled.
# Run by xtask (apt.rs) as root.
set -eu
policy=/usr/sbin/policy-rc.d
marker='placed by gw502 xtask while it installs packages'
log=$(mktemp)
placed=
cleanup() {
    rm -f "$log"
    [ -z "$placed" ] || rm -f "$policy"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

shield=
# To a file: whoever reads our output may be gone before the work is done.
apt() {
    # shellcheck disable=SC2086 # two words or none
    DEBIAN_FRONTEND=noninteractive $shield apt-get install -q -y \
        --no-install-recommends --no-remove \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null >"$log" 2>&1
}
report() {
    cat "$log" || true
    exit "$1"
}

# The long part first; Ctrl-C ends it and has changed nothing.
apt --download-only "$@" || report $?

# From here on we finish: half an installation is a mess that others have to clear up.
trap '' INT TERM HUP
shield='setsid --wait'

# A policy of the machine's own is left alone. One of ours is what a killed run left behind.
if [ ! -e "$policy" ] || grep -qF "$marker" "$policy"; then
    placed=1
    printf '#!/bin/sh\n# %s\nexit 101\n' "$marker" >"$policy"
    chmod 755 "$policy"
fi

# Those that come with our packages and are here now. PHP's has its version in its name.
services() {
    for file in /etc/init.d/* /lib/systemd/system/*.service; do
        service=${file##*/}
        service=${service%.service}
        case $service in
        nginx | haproxy | nftables | php*-fpm) echo "$service" ;;
        esac
    done | sort -u
}
before=$(services)

failed=0
apt "$@" || failed=$?

# Also after a failure: half an installation can have enabled a service.
for service in $(services); do
    ! printf '%s\n' "$before" | grep -qxF "$service" || continue
    # The machine's own policy may have let it start.
    service "$service" stop >/dev/null 2>&1 || true
    update-rc.d "$service" disable >/dev/null 2>&1 || true
done
[ "$failed" = 0 ] || report "$failed"
