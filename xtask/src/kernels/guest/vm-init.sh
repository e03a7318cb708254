#!/bin/sh
# PID 1 of the userland: mounts what a host has, runs the command with its output on one virtio
# port, tells its progress and exit status on another, sends back /run/out and powers off.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root TERM=dumb LANG=C.UTF-8 OUT=/run/out
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/in /run/out /run/lock /run/netns
mount -t tmpfs tmp /tmp
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tracefs tracefs /sys/kernel/tracing
mount -t debugfs debugfs /sys/kernel/debug
mount -t bpf bpf /sys/fs/bpf
mount -t securityfs securityfs /sys/kernel/security
case "$(cat /proc/cmdline)" in
*wherefore.cgroup=v1*)
    mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
    for c in cpu,cpuacct memory pids devices freezer net_cls,net_prio; do
        mkdir -p /sys/fs/cgroup/$c
        mount -t cgroup -o $c cgroup /sys/fs/cgroup/$c
    done
    mkdir -p /sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
    ;;
*)
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    echo +memory >/sys/fs/cgroup/cgroup.subtree_control
    ;;
esac
ip link set lo up
hostname vm
for p in /sys/class/virtio-ports/*; do
    ln -s "/dev/${p##*/}" "/run/port-$(cat "$p/name")"
done
# a port can be open once only
exec 3<>/run/port-status 4>/run/port-output
echo "up $(cut -d" " -f1 /proc/uptime)" >&3
tar -C /run/in -xf /dev/vdc
cd /run/in || exit
setsid -w /bin/sh /run/in/.command </dev/null >&4 2>&1 3>&- 4>&-
status=$?
uptime=$(cut -d' ' -f1 /proc/uptime)
if [ -n "$(ls -A /run/out)" ]; then
    tar -C /run/out -cf /dev/vdd . || echo "vm-init: /run/out does not fit on its disk" >/dev/console
fi
sync
echo "exit $status $uptime" >&3
# what is written to a port waits in a queue that a power-off discards: mark the end, and wait until
# the host has read it
printf '\036\n' >&4
read -r _ <&3
echo o >/proc/sysrq-trigger
sleep 60
