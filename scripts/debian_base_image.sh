#!/bin/sh
# Makes a base image with Debian and Python without an image registry. Requires root, debootstrap and buildah.
#
#   scripts/debian_base_image.sh [IMAGE]
#   BASE_IMAGE=localhost/pantree-base:bookworm make images
#
# Copies this machine's trusted certificates into the image, so that pip works behind a TLS proxy.
set -eu
image=${1:-localhost/pantree-base:bookworm}
root=$(mktemp -d /var/tmp/pantree-base.XXXXXX)
trap 'rm -rf "$root"' EXIT

debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$root/base" >&2
rm -rf "$root"/base/var/cache/apt/archives/*.deb "$root"/base/var/lib/apt/lists/* "$root"/base/usr/share/doc/* \
  "$root"/base/usr/share/locale/* "$root"/base/usr/share/man/*
cp /etc/ssl/certs/ca-certificates.crt "$root/base/etc/ssl/certs/ca-certificates.crt"
printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' > "$root/base/etc/pip.conf"

container=$(buildah from scratch)
buildah add --quiet "$container" "$root/base" / >&2
buildah commit --quiet --rm "$container" "$image" >&2
echo "$image"
