#!/bin/sh
# Compares the contract with that of an earlier commit: whoever wrote a message then must be understood now, on the wire
# and in JSON. BASE names the commit, BUF the program.
set -eu
image=gen/pantree/contract.binpb
earlier=$(mktemp -d)
trap 'rm -rf "$earlier"' EXIT
if ! git cat-file -e "$BASE:$image" 2>/dev/null; then
  echo "no contract at $BASE; nothing to compare with"
  exit 0
fi
git show "$BASE:$image" > "$earlier/contract.binpb"
"$BUF" breaking "$image" --against "$earlier/contract.binpb"
