#!/bin/busybox sh
# PID 1 of the initrd: loads the few drivers the root disk needs, puts a writable overlay over the
# read-only userland and hands over to vm-init.
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t sysfs sysfs /sys
$B mount -t devtmpfs dev /dev
give_up() { echo "initrd: $1"; $B poweroff -f; }
while read -r module; do
    $B insmod "/modules/$module" || echo "initrd: $module does not load"
done </modules/order
# a module's disks appear a moment after it is loaded; vdd is the last
tries=0
until [ -b /dev/vdd ]; do
    tries=$((tries + 1))
    [ $tries -lt 400 ] || give_up "the virtio disks did not appear"
    $B usleep 25000
done
$B mount -t tmpfs -o size=75% tmpfs /overlay
$B mkdir /overlay/upper /overlay/work
$B mount -t ext4 -o ro,noload /dev/vda /userland || give_up "the userland does not mount"
$B mount -t overlay -o lowerdir=/userland,upperdir=/overlay/upper,workdir=/overlay/work overlay /root ||
    give_up "the overlay does not mount"
$B mount -t ext4 -o ro,noload /dev/vdb /root/usr/lib/modules || give_up "the modules do not mount"
$B cp /vm-init /root/usr/sbin/vm-init
for d in proc sys dev; do $B mount --move /$d /root/$d; done
exec $B switch_root /root /usr/sbin/vm-init
