import { expect, test } from "vitest";
import { exampleBasket, faultsOf, linkOf, requestOf, wishOf, type Wish } from "../../src/state/basket.js";
import { parseRoute } from "../../src/router.js";
import { en } from "../../src/texts/en.js";

const wish = (part: Partial<Wish> = {}): Wish => ({
  lines: [{ name: "Milk", price: "5.49", quantity: "2" }], archetype: "busy_family", months: "6", seed: "3", day: "2026-11-29", ...part,
});

test("a link carries the whole wish, whatever the names are", () => {
  const names = ["<script>", "a*b~c\\d", "[/6 pieces]", "خبز", "🥛", "50% & more #1 ?"];
  const given = wish({ lines: names.map((name) => ({ name, price: "1.99", quantity: "1" })) });
  expect(wishOf(parseRoute(`#${linkOf(given)}`).query)).toEqual(given);
});

test("a link without a basket asks for nothing", () => {
  expect(wishOf(parseRoute("#/try").query)).toBeNull();
});

test("faults are at their fields, in the order of the form", () => {
  const lines = [
    { name: " ", price: "", quantity: "0" },
    { name: "Milk", price: "-1", quantity: "1.5" },
    { name: "  mILK", price: "1", quantity: "" },
  ];
  const faults = faultsOf(wish({ lines, months: "61", seed: "-1" }), 60, en);
  expect([...faults.keys()]).toEqual([
    "name-0", "price-0", "quantity-0", "price-1", "quantity-1", "name-2", "months", "seed",
  ]);
  expect(faultsOf(wish(), 60, en).size).toBe(0);
  expect([...faultsOf(wish({ lines: [] }), 60, en).keys()]).toEqual(["add"]);
});

test("a request has numbers, and the day only if there is one", () => {
  expect(requestOf(wish({ day: "" }), 9)).toEqual({
    customer_id: "console", items: [{ name: "Milk", price: 5.49, quantity: 2 }], archetype: "busy_family",
    simulation_months: 6, seed: 9, include_forecasts: true, include_cadence_changes: true,
  });
});

test("an example has the first item of what the shopper buys most", () => {
  const item = (name: string, category: string) => ({ name, category, pack: "", usual_price: 2 });
  const catalog = [item("Apples", "produce"), item("Pears", "produce"), item("Milk", "dairy")];
  expect(exampleBasket(["dairy", "toys", "produce"], catalog)).toEqual([
    { name: "Milk", price: "2.00", quantity: "1" },
    { name: "Apples", price: "2.00", quantity: "1" },
  ]);
});
