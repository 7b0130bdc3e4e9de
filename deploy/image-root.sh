#!/bin/sh
# Makes the image's root file system of a `wasq` binary and of what it needs of the Debian that this runs on: no shell, no
# package manager. The Dockerfile's build stage calls it.
set -eu
[ $# = 2 ] || { echo "usage: $0 BINARY DIRECTORY" >&2; exit 2; }
binary=$1 root=$2
user=65532

mkdir -p "$root"/etc/ssl/certs "$root"/etc/wasq "$root"/usr/bin "$root"/usr/share/doc "$root"/var/lib/dpkg/status.d "$root"/lib64 \
    "$root"/plugins "$root"/opt/wasq/plugins
install -d -m 1777 "$root/tmp"
install -d -m 0700 -o $user -g $user "$root/var/lib/wasq"

strip -o "$root/usr/bin/wasq" "$binary"
chmod 0755 "$root/usr/bin/wasq"

# The libraries that the binary names, at the paths where its loader looks.
ldd "$binary" | grep -o '/[^ ]*' | while read -r library; do
    install -D -m 0755 "$(readlink -f "$library")" "$root$library"
done
install -m 0644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"

# Scanners look here for what is in the image and in which version.
# A build with Kafka has OpenSSL.
openssl=$(if ldd "$binary" | grep -q libssl; then echo libssl3; fi)
for package in base-files ca-certificates libc6 libgcc-s1 $openssl; do
    dpkg-query --status "$package" >"$root/var/lib/dpkg/status.d/$package"
    install -D -m 0644 "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/copyright"
done
install -m 0644 /etc/os-release "$root/etc/os-release"

printf 'root:x:0:0:root:/:/sbin/nologin\nnonroot:x:%s:%s:nonroot:/var/lib/wasq:/sbin/nologin\n' $user $user >"$root/etc/passwd"
printf 'root:x:0:\nnonroot:x:%s:\n' $user >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
