/** A stream of months and its answer, folded event by event: memory does not grow with purchases. */
import type { ProcessResult, StreamProcessEvent } from "pantree-client";

export interface Month {
  label: string;
  /** First day, ISO 8601. */
  start: string;
  total: number;
  /** By category. */
  spend: Readonly<Record<string, number>>;
}

export type Phase = "idle" | "connecting" | "running" | "lost" | "stopped" | "done" | "failed";

export interface Run {
  phase: Phase;
  monthCount: number;
  months: readonly Month[];
  seed: number;
  asOf: string;
  attempt: number;
  result: ProcessResult | null;
  error: unknown;
}

export const IDLE: Run = {
  phase: "idle",
  monthCount: 0,
  months: [],
  seed: 0,
  asOf: "",
  attempt: 0,
  result: null,
  error: null,
};

export type Action =
  | { type: "connect"; monthCount: number }
  | { type: "event"; event: StreamProcessEvent }
  | { type: "lost"; attempt: number }
  | { type: "stop" }
  | { type: "fail"; error: unknown };

export const OTHER = "other";

export function fold(run: Run, action: Action): Run {
  switch (action.type) {
    case "connect":
      // The last answer stays until there is a new one.
      return { ...IDLE, phase: "connecting", monthCount: action.monthCount, result: run.result };
    case "lost":
      return isLive(run) ? { ...run, phase: "lost", attempt: action.attempt } : run;
    case "stop":
      return isLive(run) ? { ...run, phase: "stopped" } : run;
    case "fail":
      return isLive(run) ? { ...run, phase: "failed", error: action.error } : run;
    case "event":
      return isLive(run) ? withEvent(run, action.event) : run;
  }
}

export function isLive(run: Run): boolean {
  return run.phase === "connecting" || run.phase === "running" || run.phase === "lost";
}

function withEvent(run: Run, event: StreamProcessEvent): Run {
  const running = { ...run, phase: "running" as const, attempt: 0 };
  switch (event.type) {
    case "started":
      // A stream that could not be resumed begins again.
      return {
        ...running,
        months: [],
        monthCount: event.data.month_count,
        seed: event.data.seed,
        asOf: event.data.as_of,
      };
    case "monthly_update": {
      const { data } = event;
      const spend: Record<string, number> = {};
      let listed = 0;
      for (const line of data.purchases) {
        const paid = (line.price ?? 0) * (line.quantity ?? 1) - line.saving;
        spend[line.category || OTHER] = (spend[line.category || OTHER] ?? 0) + paid;
        listed += paid;
      }
      // A month lists its first 1,000 lines.
      const rest = data.total_spend - listed;
      if (Math.abs(rest) > 0.01) spend[OTHER] = (spend[OTHER] ?? 0) + rest;
      const month = { label: data.month_display, start: data.period_start, total: data.total_spend, spend };
      const months = [...run.months.filter((_, index) => index < data.month_number - 1), month];
      return { ...running, months, monthCount: data.month_count };
    }
    case "completed":
      return { ...running, phase: "done", result: event.data };
  }
}

/** The categories that get a color of their own, up to five, largest first; the others are one. */
export function seriesOf(months: readonly Month[], expected: readonly string[] = []): string[] {
  if (expected.length) return expected.slice(0, 5);
  const totals = new Map<string, number>();
  for (const { spend } of months) {
    for (const [category, amount] of Object.entries(spend)) totals.set(category, (totals.get(category) ?? 0) + amount);
  }
  totals.delete(OTHER);
  return [...totals].sort((one, other) => other[1] - one[1]).map(([category]) => category).slice(0, 5);
}
