/** A replay of what a plan would have done: its weeks, folded event by event, and what they mean for the household. */
import type {
  FieldProblem,
  PlanConstraintsInput,
  WhatIfDelivery,
  WhatIfEvent,
  WhatIfNeed,
  WhatIfStarted,
  WhatIfSummary,
  WhatIfTotals,
  WhatIfWeek,
} from "pantree-client";
import { addDays, dayOfText, isoDay } from "../format.js";
import { amountOf, constraintsOf, type Wishes } from "./plan.js";
import type { Phase } from "./run.js";

export const MAX_WEEKS = 12;

export interface Replay {
  phase: Phase;
  started: WhatIfStarted | null;
  weeks: readonly WhatIfWeek[];
  summary: WhatIfSummary | null;
  error: unknown;
}

export const NO_REPLAY: Replay = { phase: "idle", started: null, weeks: [], summary: null, error: null };

export type ReplayAction =
  | { type: "connect" }
  | { type: "event"; event: WhatIfEvent }
  | { type: "lost" }
  | { type: "stop" }
  | { type: "fail"; error: unknown };

export function foldReplay(replay: Replay, action: ReplayAction): Replay {
  if (action.type === "connect") return { ...NO_REPLAY, phase: "connecting" };
  if (!isPlaying(replay)) return replay;
  switch (action.type) {
    case "lost":
      return { ...replay, phase: "lost" };
    case "stop":
      return { ...replay, phase: "stopped" };
    case "fail":
      return { ...replay, phase: "failed", error: action.error };
    case "event":
      return withEvent({ ...replay, phase: "running" }, action.event);
  }
}

export const isPlaying = ({ phase }: Replay): boolean => phase === "connecting" || phase === "running" || phase === "lost";

function withEvent(replay: Replay, event: WhatIfEvent): Replay {
  switch (event.type) {
    case "started":
      // A stream that could not be resumed begins again.
      return { ...replay, started: event.data, weeks: [] };
    case "week":
      return { ...replay, weeks: [...replay.weeks.slice(0, event.data.week_number - 1), event.data] };
    case "completed":
      return { ...replay, phase: "done", summary: event.data };
  }
}

interface Named {
  name: string;
  item_id: string;
  variant: string;
}

// Names may repeat where a shop distinguishes items by id or variant.
const keyOf = ({ name, item_id, variant }: Named): string => JSON.stringify([name, item_id, variant]);

export interface DayAtHome {
  day: Date;
  units: number;
  delivery: WhatIfDelivery | null;
  need: WhatIfNeed | null;
}

export interface ItemAtHome {
  key: string;
  name: string;
  variant: string;
  /** Each day of the weeks that were played, earliest first; units are those at its end. */
  days: readonly DayAtHome[];
  deliveryCount: number;
  earlyCount: number;
  needCount: number;
  ranOutCount: number;
}

export const isEarly = ({ units_on_hand }: WhatIfDelivery): boolean => units_on_hand > 0;
export const hasStockout = ({ units_bought }: WhatIfNeed): boolean => units_bought > 0;

/** The items of the plan with their units at home, by name; known as soon as the plan is. */
export function itemsAtHome({ started, weeks }: Replay): ItemAtHome[] {
  if (!started) return [];
  const items = new Map<string, Named>();
  for (const item of started.plan.deliveries.flatMap((box) => box.items)) items.set(keyOf(item), item);
  for (const item of weeks.flatMap((week) => week.items)) items.set(keyOf(item), item);
  return [...items]
    .map(([key, { name, variant }]) => {
      const days = weeks.flatMap((week) => daysOf(week, key));
      const deliveries = days.flatMap(({ delivery }) => delivery ?? []);
      const needs = days.flatMap(({ need }) => need ?? []);
      return {
        key,
        name,
        variant,
        days,
        deliveryCount: deliveries.length,
        earlyCount: deliveries.filter(isEarly).length,
        needCount: needs.length,
        ranOutCount: needs.filter(hasStockout).length,
      };
    })
    .sort((one, other) => one.name.localeCompare(other.name));
}

function daysOf(week: WhatIfWeek, key: string): DayAtHome[] {
  const start = dayOfText(week.start_date);
  const units = week.items.find((item) => keyOf(item) === key)?.units_on_hand ?? [];
  return units.map((count, at) => {
    const day = addDays(start, at);
    const isThen = (one: Named & { date: string }): boolean => one.date === isoDay(day) && keyOf(one) === key;
    return { day, units: count, delivery: week.deliveries.find(isThen) ?? null, need: week.needs.find(isThen) ?? null };
  });
}

export const earlyOf = ({ weeks }: Replay): WhatIfDelivery[] => weeks.flatMap(({ deliveries }) => deliveries.filter(isEarly));
export const ranOutOf = ({ weeks }: Replay): WhatIfNeed[] => weeks.flatMap(({ needs }) => needs.filter(hasStockout));

/** What the items of the plan cost with it: the deliveries, and what was still bought in the shop. */
export const costWithPlan = ({ delivery_cost, purchase_cost }: WhatIfTotals): number => delivery_cost + purchase_cost;

export type Conclusion = "nothing" | "noPrices" | "saved" | "same" | "cost";

/** What the replay comes to. Units at home at the end are paid but not used, so they do not count as lost. */
export function conclusionOf(started: WhatIfStarted, { totals, has_prices, savings_without_stock }: WhatIfSummary): Conclusion {
  if (started.plan.deliveries.length === 0) return "nothing";
  if (!has_prices) return "noPrices";
  // As for the value of an item: within 2 % is the same.
  if (Math.abs(savings_without_stock) <= 0.02 * totals.paid) return "same";
  return savings_without_stock > 0 ? "saved" : "cost";
}

/** Field of the form, by field of the request. */
const FORM_FIELDS: Readonly<Record<string, string>> = {
  week_count: "weeks",
  as_of: "weeks",
  stockout_tolerance_ratio: "doubt",
  "constraints.budget_per_month": "budget",
  "constraints.max_boxes_per_month": "boxes",
  "constraints.delivery_weekdays": "day",
};

/** The gateway's messages by field of the form; `others` are about something else. */
export function formFaults(problems: readonly FieldProblem[]): { faults: Map<string, string>; others: FieldProblem[] } {
  const faults = new Map<string, string>();
  const others: FieldProblem[] = [];
  for (const problem of problems) {
    const field = FORM_FIELDS[problem.field.replace(/^input\./, "").replace(/\[\d+\]$/, "")];
    if (field === undefined) others.push(problem);
    else faults.set(field, [faults.get(field), problem.message].filter(Boolean).join("; "));
  }
  return { faults, others };
}

/** Whether the budget is not a number. The gateway checks its bounds. */
export const isBudgetUnreadable = ({ budget }: Wishes): boolean => Number.isNaN(amountOf(budget));

/** Constraints as typed: unlike a slider's, an amount below 0 is sent, so that the gateway says what is wrong with it. */
export function replayConstraints(wishes: Wishes): PlanConstraintsInput {
  return { ...constraintsOf(wishes), ...(wishes.budget.trim() && { budget_per_month: amountOf(wishes.budget) }) };
}
