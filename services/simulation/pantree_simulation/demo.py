"""Prints a simulation of two months that begins with bananas and chicken."""

from datetime import date

import grpc

from pantree.purchase.v1.purchase_pb2 import BasketItem, PurchaseColumns
from pantree.simulation.v1 import simulation_service_pb2 as messages
from pantree.simulation.v1 import simulation_service_pb2_grpc as rpc
from pantree_domain.days import calendar_day, day_number


async def demo(channel: grpc.aio.Channel) -> None:
    """Calls `StreamPurchases` and prints each month as it arrives."""
    request = messages.StreamPurchasesRequest(
        household_id="demo",
        archetype="health_conscious",
        items=[BasketItem(name="Bananas", price=1.99), BasketItem(name="Chicken Breast", price=12.99)],
        simulation_months=2,
        start_date="2026-01-15",
    )
    async for month in rpc.SimulationServiceStub(channel).StreamPurchases(request):
        print(f"Month {month.month_number} of {month.month_count}: {month.period_start} to {month.period_end}")
        _print_purchases(month.purchases)


def _print_purchases(purchases: PurchaseColumns) -> None:
    day_before = day_number(date.min)
    for index, day, quantity, price, saving in zip(
        purchases.item_indices,
        purchases.days,
        purchases.quantities,
        purchases.prices,
        purchases.savings,
        strict=True,
    ):
        if day != day_before:
            print(f"\n  {calendar_day(day):%a %Y-%m-%d}")
            day_before = day
        note = f"  saved {saving:.2f}" if saving else ""
        print(
            f"    {purchases.item_names[index]:<24} {purchases.item_categories[index]:<14}"
            f"{quantity:>3} x {price:>6.2f}{note}"
        )
    print()
