import type { ProcessResult, Recommendation } from "pantree-client";
import { expect, test } from "vitest";
import { calendarOf, deliveriesOf, judge, moneyOf } from "../../src/state/plan.js";

function recommended(name: string, part: object = {}): Recommendation {
  return {
    name,
    subscription: {
      interval_days: 14, quantity: 1, annual_cost: 100, first_delivery_date: "2026-12-03", last_delivery_date: "", ...part,
    },
  } as Recommendation;
}

const paid = (expected: number) => ({
  savings_vs_paid: { expected_annual_savings: expected, low_annual_savings: expected - 1, high_annual_savings: expected + 1 },
});

test.each([
  [10, "saves"], [2.05, "saves"], [2, "same"], [0, "same"], [-1.9, "same"], [-10, "convenience"],
])("a saving of %d in about 100 is %s", (saving, value) => {
  expect(judge(recommended("Milk", paid(saving))).value).toBe(value);
});

test("without a claim the value is open", () => {
  expect(judge(recommended("Milk"))).toEqual({ value: "unknown", saving: 0, low: 0, high: 0 });
});

test("deliveries are within twelve weeks and the season", () => {
  const days = deliveriesOf(recommended("Milk"), "2026-11-30").map((day) => day.toISOString().slice(0, 10));
  expect(days).toEqual(["2026-12-03", "2026-12-17", "2026-12-31", "2027-01-14", "2027-01-28", "2027-02-11"]);
  expect(deliveriesOf(recommended("Plums", { last_delivery_date: "2026-12-17" }), "2026-11-30")).toHaveLength(2);
  expect(deliveriesOf(recommended("x", { first_delivery_date: "" }), "2026-11-30")).toEqual([]);
});

test("the calendar puts what comes on one day together", () => {
  const result = {
    as_of: "2026-11-30",
    recommendations: { recommendations: [recommended("Milk"), recommended("Eggs", { interval_days: 28, quantity: 2 })] },
  } as unknown as ProcessResult;
  const [first, second] = calendarOf(result);
  expect(first).toEqual({ day: "2026-12-03", items: [{ name: "Milk", quantity: 1 }, { name: "Eggs", quantity: 2 }] });
  expect(second).toEqual({ day: "2026-12-17", items: [{ name: "Milk", quantity: 1 }] });
});

test("money is of the plan; unknown without prices", () => {
  const plan = { item_count: 2, annual_cost: 90, estimated_annual_savings: 10, annual_savings_vs_paid: -5 };
  const result = (part: object, has_prices = true) =>
    ({ recommendations: { plan: { ...plan, ...part } }, history_summary: { has_prices } }) as unknown as ProcessResult;
  expect(moneyOf(result({}))).toEqual({ paid: 85, shelf: 100, plan: 90 });
  expect(moneyOf(result({ annual_savings_vs_paid: undefined }))?.paid).toBeNull();
  expect(moneyOf(result({}, false))).toBeNull();
});
