"""What a plan of eight weeks ago would have done, week by week, for a file of receipts; through the gateway."""

import os
from pathlib import Path

from pantree_client import Purchase, SyncPantreeClient, WhatIfRequest
from pantree_reader import read_file

url = os.environ.get("PANTREE_URL", "http://localhost:8000")
(household,) = read_file(Path(__file__).with_name("purchases.csv")).households
purchases = [
    Purchase(line.name, line.day, line.price, line.quantity, saving=line.saving, item_id=line.item_id)
    for line in household.purchases
]
with SyncPantreeClient(url, api_key=os.environ.get("PANTREE_API_KEY")) as client:
    result = client.what_if(WhatIfRequest("household-2", purchases, week_count=8))
for week in result.weeks:
    totals = week.cumulative_totals
    print(
        week.end_date, totals.early_delivery_count, "early,", totals.stockout_count, f"out, saved {totals.savings:.2f}"
    )
print(
    f"promised {result.summary.promised_savings}, saved without what is left {result.summary.savings_without_stock:.2f}"
)
