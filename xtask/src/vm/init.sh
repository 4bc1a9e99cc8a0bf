#!/bin/busybox sh
# The guest's first process: sets up, runs what /vm/trials lists, says how it went, powers off.
# Every line for the host begins with `gw502-vm: `.
/bin/busybox --install -s /bin
export PATH=/usr/sbin:/usr/bin:/bin HOME=/root TMPDIR=/tmp
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts none /dev/pts
mount -t tmpfs none /dev/shm
mount -t tmpfs none /tmp
mount -t tmpfs none /run
mount -t cgroup2 none /sys/fs/cgroup
ln -s /proc/self/fd /dev/fd
ln -s /proc/self/fd/1 /dev/stdout
ln -s /proc/self/fd/2 /dev/stderr
chmod 1777 /tmp
ulimit -n 65536
hostname guest
ip link set lo up

say() { echo "gw502-vm: $*"; }
now() { cut -d' ' -f1 /proc/uptime; }
quote() { while IFS= read -r line; do say "| $line"; done; }

say "kernel $(uname -r)"
for module in /vm/modules/*.ko; do
    insmod "$module" || say "no-module $module"
done
say "modules $(now)"
export GW502_BIN=/vm/gw502
say "doctor $($GW502_BIN doctor --output json 2>&1 | tr '\n' ' ')"

# What it attaches when nobody says otherwise.
$GW502_BIN trace --output json >/dev/null 2>/tmp/ready &
tracing=$!
while kill -0 $tracing 2>/dev/null && ! grep -q '^ready:' /tmp/ready; do usleep 100000; done
say "links $(bpftool -j link show | tr '\n' ' ')"
say "programs $(bpftool -j prog show | tr '\n' ' ')"
kill -INT $tracing
wait $tracing

# Whether a backend can be had: one that cannot is refused at once, with its reason.
while read -r backend; do
    if why=$($GW502_BIN trace --hooks "$backend" --output json --duration 1ms 2>&1 >/dev/null); then
        say "backend $backend has"
    else
        say "backend $backend lacks $(echo "$why" | tr '\n' ' ')"
        touch "/tmp/lacks-$backend"
    fi
done </vm/backends

while read -r backend; do
    [ ! -e "/tmp/lacks-$backend" ] || continue
    while read -r trial; do
        say "begin $backend $trial"
        limit=120
        case $trial in attach::*) limit=3600 ;; esac
        # Who watches must not take a long trial for a kernel that hangs.
        while sleep 60; do say "still $trial"; done &
        beat=$!
        GW502_HOOKS=$backend timeout -s KILL $limit /vm/live --exact "$trial" >/tmp/out 2>&1 </dev/null
        code=$?
        kill $beat
        grep -q 'times attached' /tmp/out && quote </tmp/out
        if [ "$code" != 0 ]; then
            quote </tmp/out
        elif grep -q 'blind, as declared' /tmp/out; then
            code=blind
        elif grep -q 'not there: ' /tmp/out; then
            code=absent
        fi
        say "end $backend $trial $code $(now)"
    done </vm/trials
done </vm/backends
say over
poweroff -f
