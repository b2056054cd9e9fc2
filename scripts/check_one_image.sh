#!/bin/sh
# Builds the image of one part and runs it as Kubernetes would, without a registry and without leaving anything behind: what CI
# does each time. All parts: make images image-tests PANTREE_TEST_IMAGES=...
#
#   scripts/check_one_image.sh [PART]
#
# Needs root, buildah and debootstrap; says so, and ends with 0, where they are not there.
set -eu
part=${1:-enrichment} # the smallest one
if [ "$(id -u)" != 0 ] || ! command -v buildah > /dev/null || ! command -v debootstrap > /dev/null; then
  echo "no image is built: that needs root, buildah and debootstrap"
  exit 0
fi
# A store of its own: vfs works in any container, and keeps whole copies of every layer.
store=$(mktemp -d /var/tmp/pantree-images.XXXXXX)
trap 'rm -rf "$store"' EXIT
printf '[storage]\ndriver = "vfs"\ngraphroot = "%s/graph"\nrunroot = "%s/run"\n' "$store" "$store" > "$store/storage.conf"
export CONTAINERS_STORAGE_CONF="$store/storage.conf" STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
if ! BASE_IMAGE=$(sh scripts/debian_base_image.sh); then
  echo "no image is built: no base could be made, see above"
  exit 0
fi
export BASE_IMAGE
PANTREE_TEST_IMAGES=$part make --no-print-directory image-tests
