/** The household that Household and What if are about: a file of purchases or a stored customer, and what it wishes. */
import { signal } from "@preact/signals";
import { asksForKey, client, readFile, type FileOptions, type FileReport, type Source } from "../api.js";
import { csvOf } from "../csv/write.js";
import { announce } from "../parts/live.js";
import { texts } from "../texts/index.js";
import { exampleBasket, requestOf } from "./basket.js";
import type { Wishes } from "./plan.js";
import { archetypes, catalog, config, loadSession } from "./session.js";

const words = texts.household;
const MAX_MIB = 16;
const DETECT: FileOptions = { columns: {}, dateFormat: "", decimal: "", currency: "", household: "", leaveOutInvalid: false };
export const FREE: Wishes = { tolerance: 0.5, budget: "", boxes: "", weekday: "" };

/** How far the household is known; `ready` with a source. */
export type Step = "none" | "reading" | "unreadable" | "ready";

export const file = signal<File | null>(null);
export const options = signal<FileOptions>(DETECT);
export const report = signal<FileReport | null>(null);
export const source = signal<Source | null>(null);
export const wishes = signal<Wishes>(FREE);
export const step = signal<Step>("none");
/** Highest cost of 4 weeks of the plan without a budget; 0 while unknown. */
export const monthCost = signal(0);
/** Why the file could not be read; errors of an answer belong to the view. */
export const fileError = signal<unknown>(null);
let current: AbortController | null = null;

export async function read(next: FileOptions): Promise<void> {
  current?.abort();
  const controller = (current = new AbortController());
  const chosen = file.value;
  if (!chosen) return;
  options.value = next;
  step.value = "reading";
  fileError.value = null;
  announce(words.reading);
  try {
    const found = await readFile(chosen, next, controller.signal);
    report.value = found;
    if (found.problems.length) {
      step.value = "unreadable";
      announce(words.cannotRead(found.problem_count));
      return;
    }
    const name = found.household || chosen.name.replace(/\.[^.]*$/, "") || "household";
    const id = name.replace(/[\p{C}]/gu, "").trim().slice(0, 128) || "household";
    source.value = { customerId: id, report: found };
    step.value = "ready";
  } catch (error) {
    if (controller.signal.aborted) return;
    step.value = source.value ? "ready" : "none";
    if (!asksForKey(error)) fileError.value = error;
  }
}

export function takeStored(customerId: string): void {
  fileError.value = null;
  source.value = { customerId, report: null };
  step.value = "ready";
}

export function take(chosen: File): void {
  current?.abort();
  source.value = null;
  report.value = null;
  fileError.value = null;
  if (chosen.size === 0 || chosen.size > MAX_MIB << 20) {
    file.value = null;
    step.value = "none";
    fileError.value = new Error(chosen.size === 0 ? words.empty : words.tooLarge(MAX_MIB));
    return;
  }
  file.value = chosen;
  void read(DETECT);
}

/** A simulated year as a file, for those without one at hand. */
export async function takeExample(): Promise<void> {
  step.value = "reading";
  fileError.value = null;
  try {
    await loadSession();
    const shopper = archetypes.value?.archetypes.find((one) => one.id === archetypes.value?.default_archetype);
    if (!shopper || !config.value) {
      step.value = "none";
      return;
    }
    const lines = exampleBasket(shopper.category_weights.map((weight) => weight.category), catalog.value);
    const wish = { lines, archetype: shopper.id, months: "12", seed: "", day: "" };
    const rows: (string | number)[][] = [["date", "item", "category", "quantity", "price", "saving"]];
    for await (const event of client().stream(requestOf(wish, 8))) {
      if (event.type !== "monthly_update") continue;
      for (const line of event.data.purchases) {
        rows.push([line.date, line.name, line.category, line.quantity ?? 1, line.price ?? 0, line.saving]);
      }
    }
    take(new File([csvOf(rows)], words.exampleName, { type: "text/csv" }));
  } catch (error) {
    step.value = "none";
    if (!asksForKey(error)) fileError.value = error;
  }
}

export function forget(): void {
  current?.abort();
  source.value = null;
  wishes.value = FREE;
  file.value = null;
  report.value = null;
  fileError.value = null;
  options.value = DETECT;
  step.value = "none";
}
