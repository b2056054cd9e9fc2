#!/usr/bin/env bash
# What a plan of eight weeks ago would have done, with curl: for receipts in a file, then for stored purchases.
set -euo pipefail
url="${PANTREE_URL:-http://localhost:8000}"
folder="$(dirname "$0")"
key=()
[ -z "${PANTREE_API_KEY:-}" ] || key=(-H "X-API-Key: $PANTREE_API_KEY")

what_if() { # history, as a field of the request
  curl -sS --fail "${key[@]}" -X POST "$url/api/v1/what-if" -H "Content-Type: application/json" \
    -d "{\"customer_id\": \"example-what-if\", $1, \"week_count\": 8, \"constraints\": {\"delivery_weekdays\": [6]}}"
}
summary() { # the last part of an answer
  sed -n 's/.*"summary":\(.*\)}$/\1/p'
  echo
}

# The gateway reads files of purchases; its answer has them as `history_columns`, which other requests take.
columns="$(curl -sS --fail "${key[@]}" --data-binary @"$folder/purchases.csv" "$url/api/v1/purchase-files" |
  sed -n 's/.*\("history_columns":{[^}]*}\).*/\1/p')"
what_if "$columns" | summary

# With purchases that are stored, the request needs no history. Lines that are already stored are not stored again.
lines="$(awk -F, 'NR > 1 {
  printf("%s{\"order_id\": \"%s\", \"line_id\": \"%s\", \"item_id\": \"%s\", \"name\": \"%s\", ", separator, $1, $3, $3, $4)
  printf("\"date\": \"%s\", \"quantity\": %s, \"price\": %s, \"saving\": %s}", $2, $5, $6, $7)
  separator = ", "
}' "$folder/purchases.csv")"
curl -sS --fail "${key[@]}" -X POST "$url/api/v1/customers/example-what-if/purchases" \
  -H "Content-Type: application/json" -d "{\"purchases\": [$lines]}"
echo
what_if '"stored_history": true' | summary
