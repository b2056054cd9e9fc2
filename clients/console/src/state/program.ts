/** The report of a backtest, `report.json` of `pantree batch backtest`. docs/batch.md describes it. */

export interface Figure {
  /** Null when it is undefined, such as a share of nothing. */
  value: number | null;
  /** Ends of the 95 % interval. */
  low: number | null;
  high: number | null;
}

export interface CategoryRow {
  category: string;
  subscription_count: number;
  delivery_count: number;
  judged_count: number;
  figures: Readonly<Record<string, Figure>>;
}

export interface PredictionClass {
  min_prediction: number;
  max_prediction: number;
  judged_count: number;
  mean_prediction: number | null;
  bought_again_ratio: Figure;
}

export interface ItemRow {
  item: string;
  item_id: string;
  variant: string;
  category: string;
  subscription_count: number;
  delivery_count: number;
  early_delivery_ratio: number | null;
  stockout_ratio: number | null;
  delivered_per_used_ratio: number | null;
}

export interface Report {
  format: number;
  run_id: string;
  as_of: string;
  week_count: number;
  household_count: number;
  rejected: Readonly<Record<string, number>>;
  offered_household_count: number;
  subscription_count: number;
  deliveries_per_month: number;
  judged_count: number;
  figures: Readonly<Record<string, Figure>>;
  amounts: readonly { currency_code: string; household_count: number; figures: Readonly<Record<string, Figure>> }[];
  categories: readonly CategoryRow[];
  predictions: Readonly<Record<string, readonly PredictionClass[]>>;
  items: readonly ItemRow[];
}

const FORMAT = 1;
const LISTS = ["amounts", "categories", "items"] as const;

export type ReportFault = "unreadable" | "other" | "newer";

/** The report in a file, or why it is none. */
export function readReport(text: string): Report | ReportFault {
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch {
    return "unreadable";
  }
  if (typeof read !== "object" || read === null) return "other";
  const report = read as Partial<Record<keyof Report, unknown>>;
  if (typeof report.format === "number" && report.format > FORMAT) return "newer";
  const isReport =
    report.format === FORMAT &&
    LISTS.every((name) => Array.isArray(report[name])) &&
    [report.figures, report.predictions].every((part) => typeof part === "object" && part !== null) &&
    [report.week_count, report.household_count, report.subscription_count].every((part) => typeof part === "number");
  return isReport ? (report as unknown as Report) : "other";
}

/** The items of a category, or of all. */
export const itemsOf = (report: Report, category: string): readonly ItemRow[] =>
  category ? report.items.filter((item) => item.category === category) : report.items;

/** The row of a category; without one, null. */
export const categoryOf = (report: Report, category: string): CategoryRow | null =>
  report.categories.find((row) => row.category === category) ?? null;
