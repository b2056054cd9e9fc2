/** What an answer means for the household: value of each item, money, deliveries ahead. */
import type { PlanConstraintsInput, PlannedDelivery, ProcessResult, Recommendation } from "pantree-client";
import { addDays, dayOfText } from "../format.js";

export type Value = "saves" | "same" | "convenience" | "unknown";

export const WEEKS_AHEAD = 12;

export interface Judged {
  value: Value;
  /** Saving of a year against what was paid; below 0 if it costs more. */
  saving: number;
  low: number;
  high: number;
}

const VALUES: Readonly<Record<string, Value>> = { SAVES: "saves", SAME: "same", CONVENIENCE: "convenience" };

/** Value of a subscription, at the discount that the plan reaches, against the prices that the household paid. */
export function judge({ subscription }: Recommendation): Judged {
  const value = VALUES[subscription.value] ?? "unknown";
  const paid = subscription.savings_vs_paid;
  const saving = subscription.annual_savings_in_plan ?? 0;
  // The range is that of the saving, moved to the discount of the plan.
  const moved = paid ? saving - paid.expected_annual_savings : 0;
  return { value, saving, low: (paid?.low_annual_savings ?? saving) + moved, high: (paid?.high_annual_savings ?? saving) + moved };
}

/** What the name on a receipt means, where that says more than its letters in another case. */
export function explaining(name: string, plainName: string): string {
  return plainName.toLowerCase() === name.toLowerCase() ? "" : plainName;
}

export interface Money {
  /** What was paid for the same units; null if unknown for an item. */
  paid: number | null;
  /** Half of the range of 8 in 10 years around what was paid; 0 if unknown. */
  paidDeviation: number;
  shelf: number;
  plan: number;
}

/** A year of all recommended items; null without prices or items. */
export function moneyOf(result: ProcessResult): Money | null {
  const plan = result.recommendations.plan;
  if (!plan?.item_count || !result.history_summary?.has_prices) return null;
  // Prices of different items vary on their own.
  const deviations = result.recommendations.recommendations.map((item) => judge(item)).map(({ low, high }) => (high - low) / 2);
  return {
    paid: plan.annual_paid ?? null,
    paidDeviation: Math.hypot(...deviations),
    shelf: plan.annual_cost + plan.estimated_annual_savings,
    plan: plan.annual_cost,
  };
}

/** Days of an item's deliveries in the plan. */
export function deliveriesOf({ name, item_id }: Recommendation, result: ProcessResult): Date[] {
  const boxes = result.recommendations.plan?.deliveries ?? [];
  return boxes
    .filter(({ items }) => items.some((item) => item.name === name && item.item_id === item_id))
    .map(({ date }) => dayOfText(date));
}

export interface Week {
  from: Date;
  boxes: readonly PlannedDelivery[];
}

/** The boxes of the plan by week. */
export function weeksOf(result: ProcessResult): Week[] {
  const start = dayOfText(result.as_of);
  return Array.from({ length: WEEKS_AHEAD }, (_, week) => {
    // Deliveries begin on the day after the as-of date.
    const from = addDays(start, 7 * week + 1);
    const to = addDays(from, 7);
    const boxes = (result.recommendations.plan?.deliveries ?? []).filter(({ date }) => {
      const day = dayOfText(date);
      return day >= from && day < to;
    });
    return { from, boxes };
  });
}

/** What a household demands of its plan; what is empty is free. */
export interface Wishes {
  /** From more deliveries, near 0, to more stockouts, near 1. */
  tolerance: number;
  budget: string;
  boxes: string;
  /** 1 (Monday) to 7 (Sunday). */
  weekday: string;
}

export function constraintsOf({ budget, boxes, weekday }: Wishes): PlanConstraintsInput {
  const amount = amountOf(budget);
  const count = Number(boxes);
  return {
    ...(budget.trim() && amount >= 0 && { budget_per_month: amount }),
    ...(boxes && Number.isInteger(count) && { max_boxes_per_month: count }),
    ...(weekday && { delivery_weekdays: [Number(weekday)] }),
  };
}

/** A typed amount, with a point or a comma; NaN if it is none. */
export const amountOf = (text: string): number => Number(text.trim().replace(",", "."));
