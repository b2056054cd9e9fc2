import type { ChangeSubscriptionRequest, CustomerSubscription, SubscriptionDelivery, SubscriptionReview } from "pantree-client";
import { describe, expect, test } from "vitest";
import { engineOf, isChangeable, isRestorable, leverOf, nextOf, RequestIds, runningOf } from "../../src/state/subscriptions.js";

const NOW = new Date("2026-12-01T12:00:00Z");

const delivery = (part: Partial<SubscriptionDelivery>): SubscriptionDelivery =>
  ({
    sequence: 1,
    status: "DELIVERY_STATUS_PLANNED",
    date: "2026-12-03",
    scheduled_date: "2026-12-03",
    cut_off_at: "2026-12-02T23:00:00Z",
    reason: "",
    ...part,
  }) as SubscriptionDelivery;

const subscription = (id: string, name: string, part: Partial<CustomerSubscription> = {}): CustomerSubscription =>
  ({ subscription_id: id, status: "SUBSCRIPTION_STATUS_ACTIVE", item: { name }, next_deliveries: [], ...part }) as unknown as CustomerSubscription;

describe("deliveries", () => {
  test("can be changed until their cut-off", () => {
    expect(isChangeable(delivery({}), NOW)).toBe(true);
    expect(isChangeable(delivery({ cut_off_at: "2026-12-01T12:00:00Z" }), NOW)).toBe(false);
    expect(isChangeable(delivery({ status: "DELIVERY_STATUS_LOCKED" }), NOW)).toBe(false);
  });

  test("are restored if they were skipped or moved, not if they were paused", () => {
    expect(isRestorable(delivery({}), NOW)).toBe(false);
    expect(isRestorable(delivery({ scheduled_date: "2026-12-04" }), NOW)).toBe(true);
    const skipped = { status: "DELIVERY_STATUS_SKIPPED", reason: "too_much" } as const;
    expect(isRestorable(delivery(skipped), NOW)).toBe(true);
    expect(isRestorable(delivery({ ...skipped, reason: "paused" }), NOW)).toBe(false);
    expect(isRestorable(delivery({ ...skipped, cut_off_at: "2026-12-01T11:00:00Z" }), NOW)).toBe(false);
  });

  test("the next one takes place", () => {
    const next = delivery({ sequence: 3 });
    const next_deliveries = [delivery({ status: "DELIVERY_STATUS_SKIPPED" }), delivery({ status: "DELIVERY_STATUS_FAILED" }), next];
    expect(nextOf(subscription("a", "Milk", { next_deliveries }))).toBe(next);
    expect(nextOf(subscription("a", "Milk"))).toBeUndefined();
  });
});

test("urgent advice comes first, then items by name; ended subscriptions are left out", () => {
  const all = [
    subscription("a", "Milk"),
    subscription("b", "Apples", { status: "SUBSCRIPTION_STATUS_PAUSED" }),
    subscription("c", "Tea"),
    subscription("d", "Rice"),
    subscription("e", "Bread", { status: "SUBSCRIPTION_STATUS_CANCELLED" }),
    subscription("f", "Beans", { status: "SUBSCRIPTION_STATUS_EXPIRED" }),
  ];
  const review = (days_left: number): SubscriptionReview => ({ urgency: { days_left } }) as SubscriptionReview;
  const order = runningOf(all, new Map([["c", review(9)], ["d", review(0)]]));
  expect(order.map(({ subscription_id }) => subscription_id)).toEqual(["d", "c", "b", "a"]);
});

test("the lever of an advice leaves out whom and what it is about", () => {
  const change: ChangeSubscriptionRequest = { customer_id: "1", subscription_id: "a", etag: "1-2", actor: "", request_id: "", skip: { reason: "stock_at_home" } };
  expect(leverOf(change)).toEqual({ skip: { reason: "stock_at_home" } });
});

test("the name of an engine is a name", () => {
  const mirror = { engine: "SUBSCRIPTION_ENGINE_ORDERGROOVE", external_id: "1", document: "" } as const;
  expect(engineOf(subscription("a", "Milk", { mirror }))).toBe("Ordergroove");
  expect(engineOf(subscription("a", "Milk"))).toBe("");
});

test("the same change has the same id until it is answered", () => {
  const ids = new RequestIds();
  const first = ids.of({ skip: 1 });
  expect(first).toMatch(/^console-[0-9a-f]{32}$/);
  expect(ids.of({ skip: 1 })).toBe(first);
  const second = ids.of({ skip: 2 });
  expect(second).not.toBe(first);
  ids.forget();
  expect(ids.of({ skip: 2 })).not.toBe(second);
});
