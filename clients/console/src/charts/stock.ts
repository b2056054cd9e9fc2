import { addDays, dayOfText, longDay, number } from "../format.js";
import { hasStockout, isEarly, type DayAtHome, type ItemAtHome } from "../state/whatif.js";
import { texts } from "../texts/index.js";
import type { ChartData } from "./chart.js";

const HEIGHT = 130;

/** Units of an item at home by day, with its deliveries and the needs that ran out. The axis has all days from the start. */
export function stockChart(item: ItemAtHome, asOf: string, endDate: string): ChartData {
  const { stock } = texts.charts;
  const { days } = item;
  const top = Math.max(2, ...days.map(({ units }) => units));
  const delivered = days.filter(({ delivery }) => delivery);
  const early = delivered.filter(({ delivery }) => delivery && isEarly(delivery));
  const inTime = delivered.filter((day) => !early.includes(day));
  const ranOut = days.filter(({ need }) => need && hasStockout(need));
  return {
    sentence: days.length
      ? stock.sentence(item.deliveryCount, item.earlyCount, item.needCount, item.ranOutCount)
      : stock.none,
    header: [stock.day, stock.atHome, stock.delivered, stock.needed, stock.bought],
    rows: days.map(({ day, units, delivery, need }) => [
      longDay(day),
      number(units),
      delivery ? `${number(delivery.quantity)}${isEarly(delivery) ? `, ${stock.early}` : ""}` : "",
      need ? number(need.units) : "",
      need && hasStockout(need) ? number(need.units_bought) : "",
    ]),
    points: days.map((day) => ({ x: day.day, text: dayText(day) })),
    height: HEIGHT,
    axis: `${asOf} ${endDate}`,
    options: (plot, width) => ({
      width,
      height: HEIGHT,
      marginLeft: 30,
      marginRight: 12,
      marginTop: 24,
      marginBottom: 28,
      x: {
        type: "utc",
        domain: [dayOfText(asOf), addDays(dayOfText(endDate), 1)],
        label: null,
        ticks: Math.max(2, Math.floor(width / 110)),
      },
      y: { domain: [0, top], label: null, ticks: Math.min(4, Math.ceil(top)), tickFormat: (count: number) => (Number.isInteger(count) ? number(count) : ""), grid: true },
      marks: [
        plot.ruleY([0], { stroke: "var(--control)" }),
        plot.areaY(days, { x: "day", y: "units", fill: "var(--accent)", fillOpacity: 0.25, curve: "step-after" }),
        plot.lineY(days, { x: "day", y: "units", stroke: "var(--accent)", strokeWidth: 1.5, curve: "step-after" }),
        plot.dot(inTime, { x: "day", y: top, dy: -12, r: 5, symbol: "triangle", rotate: 180, fill: "var(--accent)" }),
        plot.dot(early, { x: "day", y: top, dy: -12, r: 5, symbol: "diamond", fill: "var(--convenience)" }),
        plot.dot(ranOut, { x: "day", y: 0, dy: -6, r: 4, symbol: "times", stroke: "var(--bad)", strokeWidth: 2.5 }),
      ],
    }),
  };
}

function dayText({ day, units, delivery, need }: DayAtHome): string {
  const { stock } = texts.charts;
  const parts = [stock.units(units)];
  if (delivery) parts.push(isEarly(delivery) ? stock.cameEarly(delivery.quantity) : stock.came(delivery.quantity));
  if (need) parts.push(hasStockout(need) ? stock.ranOut(need.units, need.units_bought) : stock.used(need.units));
  return `${longDay(day)}: ${parts.join(", ")}`;
}
