import { addDays, dayOfNumber, dayOfText, isoDay, longDay, shortDay } from "../format.js";
import { texts } from "../texts/index.js";
import type { ChartData } from "./chart.js";

// A year and a half of purchases; earlier ones make the dots too small.
const MAX_PAST_DAYS = 550;

/** Past purchases as dots and deliveries ahead as triangles on one line of time. */
export function timelineChart(item: string, purchased: readonly number[], deliveries: readonly Date[], asOf: string): ChartData {
  const today = dayOfText(asOf);
  const from = addDays(today, -MAX_PAST_DAYS);
  const days = purchased.map(dayOfNumber).filter((day) => day >= from);
  const { timeline } = texts.charts;
  const first = days[0] ?? today;
  const end = addDays(deliveries.at(-1) ?? today, 4);
  const marks = [
    ...days.map((day) => ({ day, what: timeline.bought })),
    ...deliveries.map((day) => ({ day, what: timeline.delivery })),
  ];
  return {
    sentence: timeline.sentence(item, days.length, longDay(first), longDay(days.at(-1) ?? today)),
    header: [timeline.day, timeline.what],
    rows: marks.map(({ day, what }) => [longDay(day), what]),
    points: marks.map(({ day, what }) => ({ x: day, text: `${longDay(day)}: ${what}` })),
    height: 76,
    axis: asOf,
    options: (plot, width) => ({
      width,
      height: 76,
      marginLeft: 12,
      marginRight: 16,
      marginTop: 20,
      marginBottom: 34,
      x: { type: "utc", domain: [addDays(first, -3), end], label: null, ticks: Math.max(2, Math.floor(width / 90)) },
      y: { axis: null, domain: [-1, 1] },
      marks: [
        plot.ruleX([today], { stroke: "var(--control)", strokeDasharray: "2 3" }),
        plot.text([today], { x: (day: Date) => day, y: 1, text: () => (asOf === isoDay(new Date()) ? timeline.today : shortDay(today)), dy: -9, fill: "var(--soft)" }),
        plot.dot(days, { x: (day: Date) => day, y: 0, r: 4, fill: "var(--soft)" }),
        plot.dot(deliveries, { x: (day: Date) => day, y: 0, r: 5, symbol: "triangle", fill: "var(--accent)", rotate: 180 }),
      ],
    }),
  };
}

export { shortDay };
