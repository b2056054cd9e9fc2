#!/usr/bin/env bash
# Webhooks of Recharge with curl: a subscription is mirrored, an event arrives twice, and a charge is skipped.
# With SECRET, that of the file of engines, the bodies are signed as Recharge signs them.
set -euo pipefail
url="${PANTREE_URL:-http://localhost:8000}/api/v1"
key=()
[ -z "${PANTREE_API_KEY:-}" ] || key=(-H "X-API-Key: $PANTREE_API_KEY")
# GNU date, or that of macOS.
next="$(date -u -d '+10 days' +%F 2>/dev/null || date -u -v+10d +%F)"
id="$(date +%s)"

webhook() { # body
  signature="$(printf %s "${SECRET:-}$1" | { sha256sum 2>/dev/null || shasum -a 256; } | cut -d ' ' -f 1)"
  curl -sS --fail "${key[@]}" -X POST "$url/engines/recharge/events" -H "Content-Type: application/json" \
    -H "X-Recharge-Hmac-Sha256: $signature" -d "$1"
  echo
}

created="{\"subscription\": {\"id\": $id, \"customer_id\": 43845860, \"status\": \"active\", \"product_title\": \"Coffee beans\",
  \"variant_title\": \"1 kg\", \"external_variant_id\": {\"ecommerce\": \"3844924611\"}, \"quantity\": 1,
  \"order_interval_unit\": \"week\", \"order_interval_frequency\": 2, \"charge_interval_frequency\": 2,
  \"next_charge_scheduled_at\": \"$next\", \"updated_at\": \"2026-12-01T10:00:00\"}}"
webhook "$created"
webhook "$created"
webhook "{\"charge\": {\"id\": 1, \"status\": \"skipped\", \"scheduled_at\": \"$next\", \"updated_at\": \"2026-12-01T11:00:00\",
  \"line_items\": [{\"purchase_item_id\": $id, \"purchase_item_type\": \"subscription\", \"quantity\": 1}]}}"

curl -sS --fail "${key[@]}" "$url/customers/43845860/subscriptions/recharge-$id/deliveries"
echo
