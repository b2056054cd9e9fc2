import { number, share } from "../format.js";
import type { PredictionClass } from "../state/program.js";
import { texts } from "../texts/index.js";
import type { ChartData } from "./chart.js";

const HEIGHT = 220;

/** How often offers were bought again, over how likely that was: on the line, predictions are right on average. */
export function predictionsChart(classes: readonly PredictionClass[]): ChartData {
  const { program: words } = texts;
  const known = classes.flatMap(({ mean_prediction: expected, bought_again_ratio: bought, judged_count: n }) =>
    expected === null || bought.value === null || bought.low === null || bought.high === null
      ? []
      : [{ expected, bought: bought.value, low: bought.low, high: bought.high, n }],
  );
  // Intervals of few offers may be longer than the chart.
  const ratios = known.flatMap(({ expected, bought }) => [expected, bought]);
  const begin = Math.max(0, Math.floor(10 * Math.min(0.9, ...ratios) - 1) / 10);
  const drawn = known.map((one) => ({ ...one, low: Math.max(one.low, begin) }));
  const percent = (ratio: number): string => share(ratio);
  return {
    sentence: words.predictionsSentence(known.reduce((sum, { n }) => sum + n, 0)),
    header: [words.expected, words.boughtAgain, words.interval, words.offers],
    rows: known.map(({ expected, bought, low, high, n }) => [percent(expected), percent(bought), words.range(percent(low), percent(high)), number(n)]),
    points: known.map(({ expected, bought, n }) => ({ x: expected, text: words.predictionPoint(percent(expected), percent(bought), n) })),
    height: HEIGHT,
    options: (plot, width) => ({
      width: Math.min(width, 520),
      height: HEIGHT,
      marginLeft: 46,
      marginBottom: 40,
      x: { domain: [begin, 1], label: words.expected, tickFormat: percent, ticks: 5 },
      y: { domain: [begin, 1], label: null, tickFormat: percent, ticks: 5, grid: true },
      marks: [
        plot.lineY([begin, 1], { x: [begin, 1], y: [begin, 1], stroke: "var(--soft)", strokeDasharray: "3 3" }),
        plot.ruleX(drawn, { x: "expected", y1: "low", y2: "high", stroke: "var(--accent)" }),
        plot.dot(drawn, { x: "expected", y: "bought", r: 4, fill: "var(--accent)" }),
      ],
    }),
  };
}
