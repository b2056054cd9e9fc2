#!/usr/bin/env bash
# A subscription with curl: offered, accepted, skipped, paused and cancelled.
set -euo pipefail
customer="${PANTREE_URL:-http://localhost:8000}/api/v1/customers/example"
key=()
[ -z "${PANTREE_API_KEY:-}" ] || key=(-H "X-API-Key: $PANTREE_API_KEY")
# GNU date, or that of macOS.
first="$(date -u -d '+10 days' +%F 2>/dev/null || date -u -v+10d +%F)"
month="$(date -u -d '+40 days' +%F 2>/dev/null || date -u -v+40d +%F)"

post() { # path, body, and more arguments of curl
  curl -sS --fail "${key[@]}" -X POST "$customer/$1" -H "Content-Type: application/json" -d "$2" "${@:3}"
  echo
}
value() { # of a field in an answer
  sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"
}

offer="$(post offers '{
  "item": {"name": "Coffee beans", "item_id": "COF-1", "variant": "1 kg"}, "quantity": 1,
  "interval": {"unit": "INTERVAL_UNIT_WEEK", "count": 2}, "channel": "email"}' | value offer_id)"

# With an Idempotency-Key, the same request can be sent again: it is applied once.
accepted="{\"offer_id\": \"$offer\", \"anchor_date\": \"$first\", \"consent\": \"I agree.\", \"actor\": \"customer\"}"
answer="$(post subscriptions "$accepted" -H "Idempotency-Key: accept-$offer")"
again="$(post subscriptions "$accepted" -H "Idempotency-Key: accept-$offer")"
[ "$answer" = "$again" ]
echo "$answer"
id="$(value subscription_id <<< "$answer")"
etag="$(value etag <<< "$answer")"

# With If-Match, a change is made only to the version that the caller knows.
post "subscriptions/$id:change" '{"skip": {"reason": "too_much"}, "actor": "customer"}' -H "If-Match: \"$etag\""
post "subscriptions/$id:change" "{\"pause\": {\"until\": \"$month\"}, \"actor\": \"customer\"}"
post "subscriptions/$id:change" '{"change_interval": {"interval": {"unit": "INTERVAL_UNIT_WEEK", "count": 3}}}'
post "subscriptions/$id:change" '{"cancel": {"cancellation": {"reason": "too_much", "feedback": "longer_interval"}}}'

curl -sS --fail "${key[@]}" "$customer/subscriptions/$id/deliveries"
echo
curl -sS --fail "${key[@]}" "$customer/subscriptions/$id/events"
echo
