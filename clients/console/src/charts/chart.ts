/** What every chart is: a sentence made of the data, rows for a table, points for the cursor, and marks. */
import type { PlotOptions } from "@observablehq/plot";
import type * as marks from "./plot.js";

export type PlotModule = typeof marks;

export interface Point {
  /** Position on the x scale. */
  x: Date | number | string;
  /** The point in words. */
  text: string;
}

export interface ChartData {
  sentence: string;
  header: readonly string[];
  rows: readonly (readonly string[])[];
  points: readonly Point[];
  height: number;
  /** What its axes show, if that does not follow from the points. */
  axis?: string;
  /** Options of Plot; called when the chart is seen. */
  options: (plot: PlotModule, width: number) => PlotOptions;
}
