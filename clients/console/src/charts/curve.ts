import type { PurchaseProbability } from "pantree-client";
import { addDays, dayOfText, longDay, percent } from "../format.js";
import { texts } from "../texts/index.js";
import type { ChartData } from "./chart.js";

/** How sure it is that an item is bought again by a day. */
export function curveChart(
  item: string,
  probabilities: readonly PurchaseProbability[],
  intervalDays: number,
  asOf: string,
): ChartData | null {
  const today = dayOfText(asOf);
  // Beyond a few deliveries, the curve says nothing about this subscription.
  const horizon = Math.max(28, 3 * intervalDays);
  const points = [
    { day: today, sure: 0, guess: false },
    ...probabilities
      .filter(({ horizon_days }) => horizon_days <= horizon)
      .map(({ horizon_days, probability, extrapolated }) => ({
        day: addDays(today, horizon_days),
        sure: probability,
        guess: extrapolated,
      })),
  ];
  if (points.length < 2) return null;
  const { curve } = texts.charts;
  const shown = points.find(({ sure }) => sure >= 0.8) ?? points[points.length - 1]!;
  return {
    sentence: curve.sentence(item, percent(shown.sure), longDay(shown.day)),
    header: [curve.by, curve.sure],
    rows: points.slice(1).map(({ day, sure, guess }) => [longDay(day), percent(sure) + (guess ? `, ${curve.guess}` : "")]),
    points: points.slice(1).map(({ day, sure }) => ({ x: day, text: `${longDay(day)}: ${percent(sure)}` })),
    height: 120,
    options: (plot, width) => ({
      width,
      height: 120,
      marginLeft: 42,
      marginRight: 16,
      marginTop: 8,
      marginBottom: 34,
      x: { type: "utc", label: null, ticks: Math.max(2, Math.floor(width / 110)) },
      y: { domain: [0, 1], label: null, percent: false, ticks: [0, 0.5, 1], tickFormat: (ratio: number) => `${ratio * 100} %`, grid: true },
      marks: [
        plot.areaY(points, { x: "day", y: "sure", fill: "var(--accent)", fillOpacity: 0.15, curve: "monotone-x" }),
        plot.lineY(points, { x: "day", y: "sure", stroke: "var(--accent)", strokeWidth: 2, curve: "monotone-x" }),
        plot.dot(points.slice(1), { x: "day", y: "sure", r: 3, fill: "var(--accent)" }),
      ],
    }),
  };
}
