#!/usr/bin/env bash
# The REST routes with curl.
set -euo pipefail
url="${PANTREE_URL:-http://localhost:8000}"
folder="$(dirname "$0")"
key=()
[ -z "${PANTREE_API_KEY:-}" ] || key=(-H "X-API-Key: $PANTREE_API_KEY")

curl -sS --fail "${key[@]}" "$url/health"
echo
curl -sS --fail "${key[@]}" "$url/api/v1/archetypes"
echo
curl -sS --fail "${key[@]}" -X POST "$url/api/v1/process" \
  -H "Content-Type: application/json" --data @"$folder/first-purchase.json"
echo
