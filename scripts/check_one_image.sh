#!/bin/sh
# Builds the image of one part and runs it as Kubernetes does, without an image registry. It leaves nothing behind. CI runs it.
# For all parts: make images image-tests PANTREE_TEST_IMAGES=...
#
#   scripts/check_one_image.sh [PART]
#
# Requires root, buildah and debootstrap. Without them it prints a message and exits with 0.
set -eu
part=${1:-enrichment} # the smallest image
if [ "$(id -u)" != 0 ] || ! command -v buildah > /dev/null || ! command -v debootstrap > /dev/null; then
  echo "no image is built: root, buildah and debootstrap are required"
  exit 0
fi
# A separate store. The vfs driver works in any container.
store=$(mktemp -d /var/tmp/pantree-images.XXXXXX)
trap 'rm -rf "$store"' EXIT
printf '[storage]\ndriver = "vfs"\ngraphroot = "%s/graph"\nrunroot = "%s/run"\n' "$store" "$store" > "$store/storage.conf"
export CONTAINERS_STORAGE_CONF="$store/storage.conf" STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
if ! BASE_IMAGE=$(sh scripts/debian_base_image.sh); then
  echo "no image is built: the base image could not be made, see above"
  exit 0
fi
export BASE_IMAGE
PANTREE_TEST_IMAGES=$part make --no-print-directory image-tests
