#!/bin/sh
# Our own files, and nothing of the host that built the image. $VARIANTS: the folders of rootfs/, later ones win.
set -eu
umask 022
rm -f "$1/etc/dpkg/dpkg.cfg.d/lightervisor-build" "$1/etc/hostname" "$1/etc/resolv.conf"
rm -f "$1"/etc/.resolv.conf.* "$1"/var/cache/debconf/*-old "$1"/var/lib/dpkg/*-old "$1"/etc/*-
for variant in $VARIANTS; do
    cp -R "/builder/rootfs/$variant/." "$1/"
done
# Debian 13 has this link, 12 has nothing there.
echo LANG=C.UTF-8 >"$1/etc/locale.conf"
ln -sf ../locale.conf "$1/etc/default/locale"
# systemd-resolved's: written once it runs.
ln -s ../run/systemd/resolve/stub-resolv.conf "$1/etc/resolv.conf"
chroot "$1" systemctl --quiet enable systemd-networkd.service systemd-resolved.service
chroot "$1" systemctl --quiet set-default multi-user.target
