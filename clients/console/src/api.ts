/** The gateway that served this page. */
import { signal } from "@preact/signals";
import {
  PantreeClient,
  UnauthenticatedError,
  type CallOptions,
  type ProcessResult,
  type PurchaseColumnsInput,
  type WhatIfEvent,
} from "pantree-client";
import { go, route } from "./router.js";
import { constraintsOf, type Wishes } from "./state/plan.js";
import { replayConstraints } from "./state/whatif.js";

const KEY = "pantree-key";

/** The page is at `<prefix>/app/`, so the API is one level up, whatever the prefix is. */
export const base: URL = new URL("../", globalThis.document?.baseURI.split("#")[0] ?? "http://localhost/app/");

/** API key or token; for this tab only. */
export const key = signal(globalThis.sessionStorage?.getItem(KEY) ?? "");

export function keepKey(value: string): void {
  key.value = value;
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
}

export function client(): PantreeClient {
  return new PantreeClient(base, { maxAttempts: 3, ...(key.value && { apiKey: key.value }) });
}

/** Leads to the key view and back if an error is about the key; otherwise returns false. */
export function asksForKey(error: unknown): boolean {
  if (!(error instanceof UnauthenticatedError)) return false;
  if (route.value.path !== "/key") {
    const query = route.value.query.toString();
    go(`/key?then=${encodeURIComponent(route.value.path + (query && `?${query}`))}`);
  }
  return true;
}

/** Where a link within the gateway leads, such as `docs`. */
export const link = (path: string): string => new URL(path, base).href;

/** A file of purchases as the gateway read it; see `PurchaseFileReport` in its OpenAPI document. */
export interface FileReport {
  problems: { field: string; message: string }[];
  problem_count: number;
  header: string[];
  /** Its first rows, with shortened cells. */
  first_rows: string[][];
  layout: string;
  kind: string;
  dates: string;
  decimal: string;
  columns: Record<string, string>;
  remarks: { kind: string; code: string; text: string; lines: number[]; line_count: number }[];
  currency_code: string;
  has_prices: boolean;
  households: { id: string; line_count: number }[];
  household: string;
  history_columns: HistoryColumns;
}

export interface HistoryColumns {
  item_names: string[];
  item_categories: string[];
  item_indices: number[];
  days: number[];
  quantities: number[];
  prices: number[];
  savings: number[];
}

/** How a file is to be read; what is empty is detected. */
export interface FileOptions {
  columns: Readonly<Record<string, string>>;
  dateFormat: string;
  decimal: string;
  /** ISO 4217. */
  currency: string;
  household: string;
  leaveOutInvalid: boolean;
}

export function fileQuery(options: FileOptions): string {
  const query = new URLSearchParams();
  for (const [role, column] of Object.entries(options.columns)) query.append("column", `${role}=${column}`);
  if (options.dateFormat) query.set("date_format", options.dateFormat);
  if (options.decimal) query.set("decimal", options.decimal);
  if (options.currency) query.set("currency", options.currency);
  if (options.household) query.set("household", options.household);
  if (options.leaveOutInvalid) query.set("leave_out_invalid", "true");
  return query.toString();
}

export async function readFile(file: Blob, options: FileOptions, signal?: AbortSignal): Promise<FileReport> {
  return client().readPurchaseFile<FileReport>(file, fileQuery(options), signal ? { signal } : {});
}

/** A household: its purchases from a file, or the id of a stored customer. */
export interface Source {
  customerId: string;
  /** Null for a stored customer. */
  report: FileReport | null;
}

interface Purchases {
  history_columns?: PurchaseColumnsInput;
  currency_code?: string;
  stored_history?: boolean;
}

function purchasesOf({ report }: Source): Purchases {
  if (!report) return { stored_history: true };
  return { history_columns: report.history_columns, ...(report.currency_code && { currency_code: report.currency_code }) };
}

/** With `withChanges`, also what would change the cadences, which takes longer than all the rest. */
export async function processHousehold(source: Source, wishes: Wishes, withChanges: boolean, signal: AbortSignal): Promise<ProcessResult> {
  return client().process(
    {
      customer_id: source.customerId,
      ...purchasesOf(source),
      stockout_tolerance_ratio: wishes.tolerance,
      constraints: constraintsOf(wishes),
      max_recommendations: 100,
      include_forecasts: true,
      include_cadence_changes: withChanges,
    },
    // A large history on a mesh that has just started.
    { signal, timeoutSeconds: 120 },
  );
}

/** The last weeks of a household with a plan from before them. */
export function replayHousehold(source: Source, wishes: Wishes, weeks: number, options: CallOptions): AsyncIterable<WhatIfEvent> {
  return client().streamWhatIf(
    {
      customer_id: source.customerId,
      ...purchasesOf(source),
      week_count: weeks,
      stockout_tolerance_ratio: wishes.tolerance,
      constraints: replayConstraints(wishes),
      max_recommendations: 100,
    },
    options,
  );
}
