import type { WhatIfDelivery, WhatIfNeed, WhatIfStarted, WhatIfSummary, WhatIfTotals, WhatIfWeek } from "pantree-client";
import { expect, test } from "vitest";
import { stockChart } from "../../src/charts/stock.js";
import { weeksChart } from "../../src/charts/weeks.js";
import { earlyOf, foldReplay, formFaults, isBudgetUnreadable, itemsAtHome, NO_REPLAY, ranOutOf, replayConstraints, conclusionOf, type Replay } from "../../src/state/whatif.js";

const MILK = { name: "Milk", item_id: "", variant: "1 L" };
const wishes = { tolerance: 0.5, budget: "", boxes: "", weekday: "" };

const totals = (part: Partial<WhatIfTotals>): WhatIfTotals => ({ paid: 0, delivery_cost: 0, purchase_cost: 0, savings: 0, ...part }) as WhatIfTotals;

const started = (count: number): WhatIfStarted =>
  ({
    as_of: "2026-09-02",
    end_date: "2026-09-16",
    week_count: 2,
    currency_code: "",
    plan: { deliveries: count ? [{ date: "2026-09-03", items: [{ ...MILK, quantity: 1 }] }] : [] },
  }) as unknown as WhatIfStarted;

function week(number: number, units: number[], deliveries: Partial<WhatIfDelivery>[] = [], needs: Partial<WhatIfNeed>[] = []): WhatIfWeek {
  return {
    week_number: number,
    start_date: number === 1 ? "2026-09-03" : "2026-09-10",
    items: [{ ...MILK, units_on_hand: units }],
    deliveries: deliveries.map((one) => ({ ...MILK, quantity: 1, units_on_hand: 0, ...one })),
    needs: needs.map((one) => ({ ...MILK, units: 1, units_bought: 0, ...one })),
    totals: totals({ paid: 4, delivery_cost: 3 }),
    cumulative_totals: totals({ paid: 4 * number, delivery_cost: 3 * number, purchase_cost: number - 1 }),
  } as unknown as WhatIfWeek;
}

const WEEKS = [
  week(1, [1, 1, 0, 0, 0, 0, 0], [{ date: "2026-09-03" }], [{ date: "2026-09-05" }, { date: "2026-09-07", units_bought: 1 }]),
  week(2, [1, 2, 2, 2, 2, 2, 2], [{ date: "2026-09-10" }, { date: "2026-09-11", units_on_hand: 1 }]),
];

function playedTo(count: number): Replay {
  let replay = foldReplay(NO_REPLAY, { type: "connect" });
  replay = foldReplay(replay, { type: "event", event: { type: "started", data: started(1) } as never });
  for (const data of WEEKS.slice(0, count)) replay = foldReplay(replay, { type: "event", event: { type: "week", data } as never });
  return replay;
}

test("weeks follow each other, and a repeated one replaces its first arrival", () => {
  let replay = playedTo(2);
  replay = foldReplay(foldReplay(replay, { type: "lost" }), { type: "event", event: { type: "week", data: WEEKS[1] } as never });
  expect(replay.phase).toBe("running");
  expect(replay.weeks.map(({ week_number }) => week_number)).toEqual([1, 2]);
  const stopped = foldReplay(replay, { type: "stop" });
  expect(foldReplay(stopped, { type: "event", event: { type: "week", data: WEEKS[0] } as never })).toBe(stopped);
  expect(foldReplay(stopped, { type: "connect" })).toEqual({ ...NO_REPLAY, phase: "connecting" });
});

test("items are known with the plan, and their days come with the weeks", () => {
  expect(itemsAtHome(playedTo(0)).map(({ name, days }) => [name, days.length])).toEqual([["Milk", 0]]);
  const [milk] = itemsAtHome(playedTo(2));
  expect(milk!.days.map(({ units }) => units)).toEqual([1, 1, 0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2]);
  expect([milk!.deliveryCount, milk!.earlyCount, milk!.needCount, milk!.ranOutCount]).toEqual([3, 1, 2, 1]);
  expect(earlyOf(playedTo(2)).map(({ date }) => date)).toEqual(["2026-09-11"]);
  expect(ranOutOf(playedTo(2)).map(({ date }) => date)).toEqual(["2026-09-07"]);
});

test("charts say in words what they draw", () => {
  const [milk] = itemsAtHome(playedTo(2));
  const stock = stockChart(milk!, "2026-09-02", "2026-09-16");
  expect(stock.sentence).toBe("3 deliveries, 1 early; 2 needs, 1 ran out.");
  expect(stock.points[8]!.text).toMatch(/2026: 2 units at home, 1 delivered early$/);
  expect(stock.points[4]!.text).toMatch(/2026: 0 units at home, 1 needed, 1 bought because it ran out$/);
  expect(stock.rows).toHaveLength(14);
  expect(weeksChart(WEEKS, 2, "").sentence).toBe("2 weeks: 8.00 really paid for the items of the plan, 7.00 with the plan.");
});

test.each([
  [0, true, 5, "nothing"],
  [1, false, 5, "noPrices"],
  [1, true, 5, "saved"],
  [1, true, -5, "cost"],
  [1, true, 2, "same"],
])("%i boxes, prices %s, saving %d: %s", (boxes, has_prices, savings_without_stock, conclusion) => {
  const summary = { totals: totals({ paid: 100, savings: -50 }), has_prices, savings_without_stock } as WhatIfSummary;
  expect(conclusionOf(started(boxes), summary)).toBe(conclusion);
});

test("messages of the gateway come to their fields", () => {
  const { faults, others } = formFaults([
    { field: "week_count", message: "use at most 3" },
    { field: "constraints.delivery_weekdays[0]", message: "must be 1 to 7" },
    { field: "history_columns.days", message: "must not be empty" },
  ]);
  expect([...faults]).toEqual([["weeks", "use at most 3"], ["day", "must be 1 to 7"]]);
  expect(others.map(({ field }) => field)).toEqual(["history_columns.days"]);
});

test("a budget below 0 is sent, and what is not a number is not", () => {
  expect(replayConstraints({ ...wishes, budget: "-2", boxes: "3" })).toEqual({ budget_per_month: -2, max_boxes_per_month: 3 });
  expect(replayConstraints(wishes)).toEqual({});
  expect(isBudgetUnreadable({ ...wishes, budget: "much" })).toBe(true);
  expect(isBudgetUnreadable({ ...wishes, budget: " 12,5 " })).toBe(false);
});
