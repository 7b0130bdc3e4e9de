#!/bin/sh
# Builds the image of a release binary that is there already, where no registry can be reached: the build stage's image is made of
# Debian's own packages. Needs buildah and mmdebstrap, which Debian has, and root. Prints the image's size, and runs it.
set -eu
[ $# -le 1 ] || { echo "usage: $0 [BINARY]" >&2; exit 2; }
cd "$(dirname "$0")/.."
binary=${1:-target/dist/wasq}
most_mb=60
[ -x "$binary" ] || { echo "there is no binary $binary: make it with \`cargo build --profile dist --package wasq --bin wasq --features kafka\`" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot

. /etc/os-release
build_image=localhost/wasq-build
if ! buildah inspect --type image "$build_image" >/dev/null 2>&1; then
    mmdebstrap --quiet --variant=minbase --include=binutils,ca-certificates,libssl3 "$VERSION_CODENAME" "$work/debian.tar" http://deb.debian.org/debian
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$work/debian.tar" / >/dev/null
    buildah commit --quiet --rm "$container" "$build_image" >/dev/null
fi

mkdir -p "$work/context/deploy"
cp deploy/image-root.sh "$work/context/deploy/"
cp "$binary" "$work/context/wasq"
# Docker's own format: OCI's has no health check.
buildah build --quiet --format docker --build-arg BUILD_IMAGE="$build_image" --build-arg BINARY=wasq \
    --build-arg VERSION="$("$binary" -V | cut -d' ' -f2)" \
    --file deploy/Dockerfile --tag localhost/wasq "$work/context" >/dev/null

container=$(buildah from localhost/wasq)
root=$(buildah mount "$container")
bytes=$(du -sb "$root" | cut -f1)
find "$root" -xdev -type f -size +100k -printf '%s %P\n' | sort -rn
buildah run "$container" -- /usr/bin/wasq -V
echo "$(buildah inspect --type image --format 'user {{.Docker.Config.User}}, health check {{.Docker.Config.Healthcheck.Test}}' localhost/wasq)"
buildah rm "$container" >/dev/null
echo "localhost/wasq is $((bytes / 1000000)) MB"
[ "$bytes" -lt $((most_mb * 1000000)) ] || { echo "that is over $most_mb MB" >&2; exit 1; }
