import type { ProcessResult, Recommendation } from "pantree-client";
import { expect, test } from "vitest";
import { constraintsOf, deliveriesOf, explaining, judge, moneyOf, weeksOf } from "../../src/state/plan.js";

const recommended = (name: string, subscription: object = {}): Recommendation =>
  ({ name, item_id: "", subscription: { interval_days: 14, quantity: 1, annual_cost: 100, value: "", ...subscription } }) as Recommendation;

const box = (date: string, ...names: string[]) => ({ date, items: names.map((name) => ({ name, item_id: "", quantity: 1 })), price: 1 });
const planned = (...deliveries: object[]) =>
  ({ as_of: "2026-11-30", recommendations: { plan: { deliveries } } }) as unknown as ProcessResult;

test("value and range are those at the discount of the plan", () => {
  const savings_vs_paid = { expected_annual_savings: 10, low_annual_savings: 8, high_annual_savings: 12 };
  expect(judge(recommended("Milk", { value: "SAVES", annual_savings_in_plan: 15, savings_vs_paid }))).toEqual({
    value: "saves", saving: 15, low: 13, high: 17,
  });
  expect(judge(recommended("Milk", { value: "CONVENIENCE", annual_savings_in_plan: -3 }))).toEqual({
    value: "convenience", saving: -3, low: -3, high: -3,
  });
  expect(judge(recommended("Milk")).value).toBe("unknown");
});

test("an item has the days of its boxes", () => {
  const result = planned(box("2026-12-03", "Milk", "Eggs"), box("2026-12-17", "Milk"));
  expect(deliveriesOf(recommended("Milk"), result).map((day) => day.toISOString().slice(0, 10))).toEqual(["2026-12-03", "2026-12-17"]);
  expect(deliveriesOf(recommended("Eggs"), result)).toHaveLength(1);
});

test("every box of the plan is in one of twelve weeks", () => {
  const weeks = weeksOf(planned(box("2026-12-01", "Milk"), box("2026-12-07", "Milk"), box("2026-12-08", "Eggs"), box("2027-02-22", "Rice")));
  expect(weeks).toHaveLength(12);
  expect(weeks.map(({ boxes }) => boxes.length)).toEqual([2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
});

test("only what is wished for is a constraint", () => {
  const free = { tolerance: 0.5, budget: "", boxes: "", weekday: "" };
  expect(constraintsOf(free)).toEqual({});
  expect(constraintsOf({ ...free, budget: "120,50", boxes: "2", weekday: "4" })).toEqual({
    budget_per_month: 120.5, max_boxes_per_month: 2, delivery_weekdays: [4],
  });
  expect(constraintsOf({ ...free, budget: "a lot" })).toEqual({});
});

test("money is of the plan; unknown without prices", () => {
  const plan = { item_count: 2, annual_cost: 90, estimated_annual_savings: 10, annual_paid: 85 };
  const ranges = [[-5, 1], [2, 10]].map(([low_annual_savings, high_annual_savings]) => ({ low_annual_savings, high_annual_savings }));
  const recommendations = ranges.map((range) => recommended("Milk", { savings_vs_paid: { expected_annual_savings: 0, ...range } }));
  const result = (part: object, has_prices = true) =>
    ({ recommendations: { plan: { ...plan, ...part }, recommendations }, history_summary: { has_prices } }) as unknown as ProcessResult;
  expect(moneyOf(result({}))).toEqual({ paid: 85, paidDeviation: 5, shelf: 100, plan: 90 });
  expect(moneyOf(result({ annual_paid: undefined }))?.paid).toBeNull();
  expect(moneyOf(result({}, false))).toBeNull();
});

test("a plain name is shown where it says more than the receipt's letters", () => {
  expect(explaining("WHL MLK", "Whole Milk")).toBe("Whole Milk");
  expect(explaining("BANANAS", "Bananas")).toBe("");
  expect(explaining("ZRBLX", "")).toBe("");
});
