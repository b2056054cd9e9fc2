/** What an answer means for the household: value of each item, money, deliveries ahead. */
import type { ProcessResult, Recommendation } from "pantree-client";
import { addDays, dayOfText, isoDay } from "../format.js";

export type Value = "saves" | "same" | "convenience" | "unknown";

// Within this share of what was paid, the price counts as the same.
const SAME_RATIO = 0.02;
export const WEEKS_AHEAD = 12;

export interface Judged {
  value: Value;
  /** Saving of a year against what was paid; below 0 if it costs more. */
  saving: number;
  low: number;
  high: number;
}

/** Value of a subscription against the prices that the household paid. */
export function judge({ subscription }: Recommendation): Judged {
  const paid = subscription.savings_vs_paid;
  if (!paid) return { value: "unknown", saving: 0, low: 0, high: 0 };
  const saving = paid.expected_annual_savings;
  const before = subscription.annual_cost + saving;
  const value = Math.abs(saving) <= SAME_RATIO * before ? "same" : saving > 0 ? "saves" : "convenience";
  return { value, saving, low: paid.low_annual_savings, high: paid.high_annual_savings };
}

export interface Money {
  /** What was paid for the same units; null if unknown for an item. */
  paid: number | null;
  shelf: number;
  plan: number;
}

/** A year of all recommended items; null without prices or items. */
export function moneyOf(result: ProcessResult): Money | null {
  const plan = result.recommendations.plan;
  if (!plan?.item_count || !result.history_summary?.has_prices) return null;
  const saving = plan.annual_savings_vs_paid;
  return {
    paid: saving === undefined || saving === null ? null : plan.annual_cost + saving,
    shelf: plan.annual_cost + plan.estimated_annual_savings,
    plan: plan.annual_cost,
  };
}

/** Days of deliveries in the next 12 weeks. */
export function deliveriesOf({ subscription }: Recommendation, asOf: string): Date[] {
  const end = addDays(dayOfText(asOf), 7 * WEEKS_AHEAD);
  const last = subscription.last_delivery_date ? dayOfText(subscription.last_delivery_date) : end;
  const days: Date[] = [];
  if (!subscription.first_delivery_date || subscription.interval_days < 1) return days;
  let day = dayOfText(subscription.first_delivery_date);
  for (; day < end && day <= last; day = addDays(day, subscription.interval_days)) days.push(day);
  return days;
}

export interface Delivery {
  day: string;
  items: { name: string; quantity: number }[];
}

/** Deliveries by day, ascending. */
export function calendarOf(result: ProcessResult): Delivery[] {
  const byDay = new Map<string, Delivery>();
  for (const item of result.recommendations.recommendations) {
    for (const date of deliveriesOf(item, result.as_of)) {
      const day = isoDay(date);
      const delivery = byDay.get(day) ?? { day, items: [] };
      delivery.items.push({ name: item.name, quantity: item.subscription.quantity });
      byDay.set(day, delivery);
    }
  }
  return [...byDay.values()].sort((one, other) => one.day.localeCompare(other.day));
}
