#!/bin/sh
# Checks that the contract only grew, on the wire and in JSON: since the baseline in protos/baseline.binpb, and since the
# commit BASE if that has a baseline. BUF names the program. `make baseline` records the contract as the next baseline.
set -eu
image=gen/pantree/contract.binpb
baseline=protos/baseline.binpb
"$BUF" breaking "$image" --against "$baseline"
if git cat-file -e "$BASE:$baseline" 2>/dev/null; then
  earlier=$(mktemp -d)
  trap 'rm -rf "$earlier"' EXIT
  git show "$BASE:$image" > "$earlier/contract.binpb"
  "$BUF" breaking "$image" --against "$earlier/contract.binpb"
fi
