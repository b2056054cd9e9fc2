/** The basket of Try it: its link, its checks, and example baskets from the catalog. */
import type { CatalogItem, ProcessInput } from "pantree-client";
import type { Texts } from "../texts/en.js";

export interface Line {
  name: string;
  price: string;
  quantity: string;
}

export interface Wish {
  lines: readonly Line[];
  archetype: string;
  months: string;
  seed: string;
  day: string;
}

export const EMPTY_LINE: Line = { name: "", price: "", quantity: "1" };

/** Part of a link: basket, archetype, months, seed and day; never a history, never a key. */
export function linkOf(wish: Wish): string {
  const query = new URLSearchParams();
  const lines = wish.lines.filter((line) => line.name.trim());
  query.set("b", lines.map((line) => [line.name.trim(), line.price, line.quantity].map(escaped).join("*")).join("~"));
  if (wish.archetype) query.set("a", wish.archetype);
  query.set("m", wish.months);
  if (wish.seed) query.set("s", wish.seed);
  if (wish.day) query.set("d", wish.day);
  return `/try?${query}`;
}

// Names may contain the separators.
const escaped = (text: string): string => text.replace(/[\\*~]/g, (sign) => `\\${sign}`);

function split(text: string, separator: string): string[] {
  const parts = [""];
  for (let at = 0; at < text.length; at++) {
    const sign = text[at] ?? "";
    if (sign === "\\") parts[parts.length - 1] += sign + (text[++at] ?? "");
    else if (sign === separator) parts.push("");
    else parts[parts.length - 1] += sign;
  }
  return parts;
}

/** What a link asks for; null if it has no basket. */
export function wishOf(query: URLSearchParams): Wish | null {
  const basket = query.get("b");
  if (!basket) return null;
  const lines = split(basket, "~").slice(0, 100).map((line) => {
    const [name = "", price = "", quantity = "1"] = split(line, "*").map((part) => part.replace(/\\(.)/g, "$1"));
    return { name: name.slice(0, 200), price, quantity };
  });
  return {
    lines,
    archetype: query.get("a") ?? "",
    months: query.get("m") ?? "6",
    seed: query.get("s") ?? "",
    day: query.get("d") ?? "",
  };
}

/** What is wrong, by field such as `price-0`; in the order of the form. */
export function faultsOf(wish: Wish, maxMonths: number, texts: Texts): Map<string, string> {
  const faults = new Map<string, string>();
  const names = new Set<string>();
  if (wish.lines.length === 0) faults.set("add", texts.try.noItems);
  wish.lines.forEach((line, at) => {
    const name = line.name.trim().toLowerCase().replace(/\s+/g, " ");
    if (!name) faults.set(`name-${at}`, texts.try.noName);
    else if (names.has(name)) faults.set(`name-${at}`, texts.try.twice);
    names.add(name);
    const price = Number(line.price);
    if (line.price.trim() === "" || !(price >= 0) || price > 1e6) faults.set(`price-${at}`, texts.try.badPrice);
    const quantity = Number(line.quantity || "1");
    if (!Number.isInteger(quantity) || quantity < 1 || quantity > 10_000) faults.set(`quantity-${at}`, texts.try.badQuantity);
  });
  const months = Number(wish.months);
  if (!Number.isInteger(months) || months < 1 || months > maxMonths) faults.set("months", texts.try.badMonths(maxMonths));
  const seed = Number(wish.seed || "0");
  if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff) faults.set("seed", texts.try.badSeed);
  return faults;
}

export function requestOf(wish: Wish, seed: number): ProcessInput {
  return {
    customer_id: "console",
    items: wish.lines.map(({ name, price, quantity }) => ({
      name: name.trim(),
      price: Number(price),
      quantity: Number(quantity || "1"),
    })),
    ...(wish.archetype && { archetype: wish.archetype }),
    simulation_months: Number(wish.months),
    seed,
    ...(wish.day && { as_of: wish.day }),
    include_forecasts: true,
    include_cadence_changes: true,
  };
}

/** A basket for a shopper: the first items of the catalog in the main categories of the shopper. */
export function exampleBasket(categories: readonly string[], catalog: readonly CatalogItem[]): Line[] {
  return categories.slice(0, 4).flatMap((category) => {
    const item = catalog.find((one) => one.category === category);
    return item ? [{ name: item.name, price: item.usual_price.toFixed(2), quantity: "1" }] : [];
  });
}
