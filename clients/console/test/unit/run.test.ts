import type { StreamProcessEvent } from "pantree-client";
import { expect, test } from "vitest";
import { fold, IDLE, seriesOf, type Action, type Run } from "../../src/state/run.js";

const started = (count: number): Action => ({
  type: "event",
  event: { type: "started", data: { customer_id: "c", month_count: count, seed: 7, as_of: "2026-11-30" } },
});

function month(number: number, count: number, lines: [string, number, number][], total?: number): Action {
  const purchases = lines.map(([category, price, quantity]) => ({
    name: "x", category, date: "2026-05-01", quantity, price, saving: 0, item_id: "", variant: "",
  }));
  const data = {
    month_display: `Month ${number}`, progress: (100 * number) / count, month_number: number, month_count: count,
    period_start: "2026-05-01", period_end: "2026-05-31", trip_count: 1, total_savings: 0, purchases,
    purchase_count: purchases.length,
    total_spend: total ?? lines.reduce((sum, [, price, quantity]) => sum + price * quantity, 0),
  };
  return { type: "event", event: { type: "monthly_update", data } as StreamProcessEvent };
}

const folded = (...actions: Action[]): Run => actions.reduce(fold, IDLE);

test("months are folded to spend by category, and purchases are dropped", () => {
  const run = folded({ type: "connect", monthCount: 2 }, started(2), month(1, 2, [["dairy", 2, 3], ["dairy", 1, 1], ["", 4, 1]]));
  expect(run.phase).toBe("running");
  expect(run.seed).toBe(7);
  expect(run.months).toEqual([{ label: "Month 1", start: "2026-05-01", total: 11, spend: { dairy: 7, other: 4 } }]);
});

test("what a month does not list counts as other", () => {
  const run = folded({ type: "connect", monthCount: 1 }, started(1), month(1, 1, [["dairy", 2, 1]], 10));
  expect(run.months[0]?.spend).toEqual({ dairy: 2, other: 8 });
});

test("a month that comes again after a lost connection replaces the first one", () => {
  const run = folded(
    { type: "connect", monthCount: 3 }, started(3), month(1, 3, [["dairy", 1, 1]]), month(2, 3, [["dairy", 2, 1]]),
    { type: "lost", attempt: 1 }, month(2, 3, [["dairy", 2, 1]]), month(3, 3, [["dairy", 3, 1]]),
  );
  expect(run.months.map(({ total }) => total)).toEqual([1, 2, 3]);
  expect(run.phase).toBe("running");
});

test("after a stop nothing changes any more", () => {
  const stopped = folded({ type: "connect", monthCount: 3 }, started(3), { type: "stop" });
  expect(fold(stopped, month(1, 3, [["dairy", 1, 1]]))).toBe(stopped);
  expect(fold(stopped, { type: "fail", error: 1 })).toBe(stopped);
});

test("a thousand runs keep no more than one", () => {
  let run = IDLE;
  for (let number = 0; number < 1000; number++) {
    run = fold(run, { type: "connect", monthCount: 6 });
    run = fold(run, started(6));
    for (let at = 1; at <= 6; at++) run = fold(run, month(at, 6, [["dairy", at, 1]]));
  }
  expect(run.months).toHaveLength(6);
  expect(JSON.stringify(run).length).toBeLessThan(2000);
});

test("series are the largest categories, five at most, never other", () => {
  const run = folded(
    { type: "connect", monthCount: 1 }, started(1),
    month(1, 1, [["", 99, 1], ["a", 1, 1], ["b", 6, 1], ["c", 5, 1], ["d", 4, 1], ["e", 3, 1], ["f", 2, 1]]),
  );
  expect(seriesOf(run.months)).toEqual(["b", "c", "d", "e", "f"]);
  expect(seriesOf(run.months, ["z", "y"])).toEqual(["z", "y"]);
});
