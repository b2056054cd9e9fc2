import type { WhatIfWeek } from "pantree-client";
import { money } from "../format.js";
import { costWithPlan } from "../state/whatif.js";
import { texts } from "../texts/index.js";
import type { ChartData } from "./chart.js";

const HEIGHT = 200;
const MARGIN = 46;

/** What was really paid in each week, and what it would have been with the plan. The axis has all weeks from the start. */
export function weeksChart(weeks: readonly WhatIfWeek[], weekCount: number, currency: string): ChartData {
  const { whatIf: words } = texts;
  const last = weeks.at(-1)?.cumulative_totals;
  const amounts = weeks.map(({ week_number: week, totals }) => ({ week, paid: totals.paid, plan: costWithPlan(totals) }));
  const numbers = Array.from({ length: Math.max(weekCount, 1) }, (_, at) => at + 1);
  return {
    sentence: last
      ? words.paidSentence(weeks.length, money(last.paid, currency), money(costWithPlan(last), currency))
      : words.noWeek,
    // The table of the weeks has all of them.
    header: [],
    rows: [],
    points: amounts.map(({ week, paid, plan }) => ({
      x: week,
      text: `${words.week(week)}: ${words.really} ${money(paid, currency)}, ${words.withPlan} ${money(plan, currency)}`,
    })),
    height: HEIGHT,
    axis: String(weekCount),
    options: (plot, width) => {
      const half = (width - MARGIN - 8) / numbers.length / 2;
      return {
        width,
        height: HEIGHT,
        marginLeft: MARGIN,
        marginRight: 8,
        marginBottom: 28,
        x: { type: "band", domain: numbers, label: null, tickSize: 0, padding: 0 },
        y: { label: null, grid: true, nice: true, domain: [0, Math.max(weeks.length ? 1 : 10, ...amounts.flatMap(({ paid, plan }) => [paid, plan]))] },
        marks: [
          plot.ruleY([0], { stroke: "var(--control)" }),
          plot.barY(amounts, { x: "week", y: "paid", fill: "var(--series-other)", insetLeft: half * 0.25, insetRight: half, rx: 1 }),
          plot.barY(amounts, { x: "week", y: "plan", fill: "var(--accent)", insetLeft: half, insetRight: half * 0.25, rx: 1 }),
        ],
      };
    },
  };
}
