import { dayOfText, money, shortMonth } from "../format.js";
import { OTHER, type Month } from "../state/run.js";
import { texts } from "../texts/index.js";
import type { ChartData } from "./chart.js";

export const categoryName = (category: string): string => texts.categories[category] ?? category;

/** Spend by month, stacked by category. The axis has all months from the start, so that nothing shifts. */
export function spendChart(
  months: readonly Month[],
  monthCount: number,
  series: readonly string[],
  currency = "",
): ChartData {
  const shown = [...series, OTHER];
  const cells = months.flatMap((month, at) => {
    const amounts = new Map(shown.map((category) => [category, 0]));
    for (const [category, amount] of Object.entries(month.spend)) {
      const key = amounts.has(category) ? category : OTHER;
      amounts.set(key, (amounts.get(key) ?? 0) + amount);
    }
    return [...amounts].map(([category, amount]) => ({ month: at + 1, category, amount: Math.max(amount, 0) }));
  });
  const totals = new Map<string, number>();
  for (const { category, amount } of cells) totals.set(category, (totals.get(category) ?? 0) + amount);
  const top = [...totals].filter(([category]) => category !== OTHER).sort((a, b) => b[1] - a[1])[0];
  const sum = months.reduce((total, month) => total + month.total, 0);
  const count = Math.max(monthCount, months.length, 1);
  const { spend } = texts.charts;
  return {
    sentence: months.length
      ? spend.sentence(months.length, money(sum, currency), top && top[1] > 0 ? categoryName(top[0]) : "")
      : spend.none,
    header: [spend.month, ...shown.map(categoryName), spend.total],
    rows: months.map((month, at) => [
      month.label,
      ...shown.map((category) => money(cells.find((cell) => cell.month === at + 1 && cell.category === category)?.amount ?? 0, currency)),
      money(month.total, currency),
    ]),
    points: months.map((month, at) => ({ x: at + 1, text: `${month.label}: ${money(month.total, currency)}` })),
    height: 240,
    axis: String(count),
    options: (plot, width) => ({
      width,
      height: 240,
      marginLeft: 46,
      marginBottom: 28,
      x: {
        type: "band",
        domain: Array.from({ length: count }, (_, at) => at + 1),
        label: null,
        tickSize: 0,
        ...(count > 14 && { ticks: Array.from({ length: count }, (_, at) => at + 1).filter((at) => at % Math.ceil(count / 12) === 1) }),
        tickFormat: (at: number) => (months[at - 1] ? shortMonth(dayOfText(months[at - 1]!.start)) : "·"),
      },
      y: { label: null, grid: true, nice: true, domain: [0, Math.max(months.length ? 1 : 100, ...months.map((month) => month.total))] },
      color: { domain: shown, range: [1, 2, 3, 4, 5].slice(0, series.length).map((n) => `var(--series-${n})`).concat("var(--series-other)") },
      marks: [
        plot.ruleY([0], { stroke: "var(--control)" }),
        plot.barY(cells, { x: "month", y: "amount", fill: "category", order: shown, inset: 0.5, rx: 1 }),
      ],
    }),
  };
}
