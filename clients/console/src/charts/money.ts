import { money } from "../format.js";
import type { Money } from "../state/plan.js";
import { texts } from "../texts/index.js";
import type { ChartData } from "./chart.js";

/** What a year costs at the prices paid, at shelf prices, and with the subscriptions. */
export function moneyChart(amounts: Money, currency: string): ChartData {
  const { money: words } = texts;
  const bars = [
    ...(amounts.paid === null ? [] : [{ name: words.today, amount: amounts.paid, color: "var(--soft)" }]),
    { name: words.shelf, amount: amounts.shelf, color: "var(--series-other)" },
    { name: words.plan, amount: amounts.plan, color: "var(--accent)" },
  ];
  const { paid, paidDeviation } = amounts;
  const range = paid !== null && paidDeviation >= 0.005 * paid ? [{ name: words.today, low: Math.max(0, paid - paidDeviation), high: paid + paidDeviation }] : [];
  const textOf = ({ name, amount }: { name: string; amount: number }): string => {
    const own = range.find((one) => one.name === name);
    return money(amount, currency) + (own ? ` (${words.range(money(own.low, currency), money(own.high, currency))})` : "");
  };
  const rows = bars.map((bar) => [bar.name, textOf(bar)]);
  return {
    sentence: words.sentence(rows.map(([name, amount]) => `${name} ${amount}`).join("; ")),
    header: ["", words.title],
    rows,
    points: [],
    height: 42 * bars.length + 8,
    options: (plot, width) => ({
      width,
      height: 42 * bars.length + 8,
      marginLeft: 8,
      marginRight: 8,
      marginTop: 4,
      marginBottom: 4,
      x: { axis: null, domain: [0, Math.max(...bars.map(({ amount }) => amount), ...range.map(({ high }) => high), 1)] },
      y: { axis: null, domain: bars.map(({ name }) => name), padding: 0.55 },
      marks: [
        plot.barX(bars, { y: "name", x: "amount", fill: "color", rx: 2 }),
        plot.ruleY(range, { y: "name", x1: "low", x2: "high", stroke: "var(--ink)", strokeWidth: 2, marker: "tick" }),
        plot.text(bars, {
          y: "name", x: 0, text: (bar: (typeof bars)[number]) => `${bar.name}  ${textOf(bar)}`,
          textAnchor: "start", dy: -17, fill: "var(--ink)", fontSize: 13,
        }),
      ],
    }),
  };
}
