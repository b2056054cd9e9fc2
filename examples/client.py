"""Recommendations for a first purchase and for a file of receipts, through a gateway."""

import os
from pathlib import Path

from pantree_client import FirstPurchase, History, Item, Purchase, SyncPantreeClient
from pantree_reader import read_file

url = os.environ.get("PANTREE_URL", "http://localhost:8000")
with SyncPantreeClient(url, api_key=os.environ.get("PANTREE_API_KEY")) as client:
    first = client.process(FirstPurchase("household-1", [Item("Bananas", 1.99), Item("Milk", 5.49)], seed=3))
    print(first.customer_id, len(first.recommendations), "recommendations")

    file = read_file(Path(__file__).with_name("purchases.csv"))
    for household in file.households:
        purchases = [
            Purchase(line.name, line.day, line.price, line.quantity, saving=line.saving, item_id=line.item_id)
            for line in household.purchases
        ]
        result = client.process(History(household.household or "household-2", purchases))
        for item in result.recommendations:
            print(item.item_id, item.name, item.frequency, item.first_delivery_date)
