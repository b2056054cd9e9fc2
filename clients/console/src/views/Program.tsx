import { signal } from "@preact/signals";
import { useMemo, useRef, useState } from "preact/hooks";
import { Chart } from "../charts/Chart.js";
import { predictionsChart } from "../charts/predictions.js";
import { categoryName } from "../charts/spend.js";
import { dayOfText, longDay, money, number, share } from "../format.js";
import { Drop } from "../parts/drop.js";
import { announce } from "../parts/live.js";
import { categoryOf, itemsOf, readReport, type CategoryRow, type Figure, type Report, type ReportFault } from "../state/program.js";
import { texts } from "../texts/index.js";

const words = texts.program;
const PAGE = 20;

const report = signal<Report | null>(null);
const fault = signal<ReportFault | null>(null);

async function take(file: File): Promise<void> {
  const read = readReport(await file.text());
  if (typeof read === "string") {
    fault.value = read;
    return;
  }
  fault.value = null;
  report.value = read;
  announce(words.shown(read.household_count));
}

export function Program() {
  const now = report.value;
  return (
    <div class="program">
      <h1>{words.title}</h1>
      {fault.value && <div class="problem" role="alert"><p>{words.faults[fault.value]}</p></div>}
      {now ? <Shown report={now} /> : (
        <>
          <p class="intro">{words.intro}</p>
          <Drop text={words.drop} choose={words.choose} accept=".json" onFile={(file) => void take(file)}>
            <p class="soft">{words.how}</p>
          </Drop>
        </>
      )}
    </div>
  );
}

function Shown({ report: now }: { report: Report }) {
  const [category, setCategory] = useState("");
  const title = useRef<HTMLParagraphElement>(null);
  const own = categoryOf(now, category);
  const predictions = useMemo(() => predictionsChart(now.predictions["probability"] ?? []), [now]);
  const { figures } = own ?? now;
  return (
    <>
      <div class="bar">
        <p ref={title}>{words.of(longDay(dayOfText(now.as_of)), now.week_count, now.household_count)}</p>
        <button type="button" class="screen" onClick={() => { report.value = null; fault.value = null; }}>{words.again}</button>
      </div>
      <label class="filter">
        {words.category}
        <select class="short" value={category} onChange={(event) => setCategory(event.currentTarget.value)}>
          <option value="">{words.all}</option>
          {now.categories.map((row) => <option key={row.category} value={row.category}>{categoryName(row.category)}</option>)}
        </select>
      </label>
      <dl class="figures">
        {own === null && <Tile name={words.withOffer} value={ratio(figures["offered_household_ratio"])} range={range(figures["offered_household_ratio"], share)} />}
        <Tile name={words.subscriptions} value={number((own ?? now).subscription_count)} />
        <Tile name={words.early} value={ratio(figures["early_delivery_ratio"])} range={range(figures["early_delivery_ratio"], share)} />
        <Tile name={words.ranOut} value={ratio(figures["stockout_ratio"])} range={range(figures["stockout_ratio"], share)} />
        <Tile name={words.perUsed} value={decimal(figures["delivered_per_used_ratio"])} range={range(figures["delivered_per_used_ratio"], (value) => value.toFixed(2))} />
        <Tile name={words.boughtAgain} value={ratio(figures["bought_again_ratio"])} range={range(figures["bought_again_ratio"], share)} />
      </dl>
      {own === null && now.amounts.map((amounts) => (
        <section class="panel" aria-labelledby={`money-${amounts.currency_code}`} key={amounts.currency_code}>
          <h2 id={`money-${amounts.currency_code}`}>{words.money(amounts.currency_code)}</h2>
          <p class="soft">{words.moneyOf(amounts.household_count, now.week_count)}</p>
          <dl class="figures">
            {(["delivery_cost", "discount_cost", "promised_savings", "kept_savings", "stock_cost"] as const).map((name) => (
              <Tile key={name} name={words.amounts[name]} value={amount(amounts.figures[name], amounts.currency_code)}
                range={range(amounts.figures[name], (value) => money(value, amounts.currency_code))} />
            ))}
          </dl>
        </section>
      ))}
      {own === null && (
        <section class="panel" aria-labelledby="predictions-title">
          <h2 id="predictions-title">{words.predictions}</h2>
          <Chart data={predictions} label={words.predictions} />
        </section>
      )}
      {own === null && <Categories rows={now.categories} onChoose={(chosen) => { setCategory(chosen); title.current?.scrollIntoView(); }} />}
      <Items report={now} category={category} />
      <p class="soft">{words.assumptions}</p>
    </>
  );
}

function Tile({ name, value, range: interval = "" }: { name: string; value: string; range?: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}{interval && <span class="soft">{interval}</span>}</dd>
    </div>
  );
}

function Categories({ rows, onChoose }: { rows: readonly CategoryRow[]; onChoose: (category: string) => void }) {
  return (
    <section class="panel" aria-labelledby="categories-title">
      <h2 id="categories-title">{words.byCategory}</h2>
      <div class="scroll" tabIndex={0} role="group" aria-labelledby="categories-title">
        <table>
          <thead>
            <tr>{[words.category, words.subscriptions, words.deliveries, words.early, words.ranOut, words.perUsed, words.boughtAgain].map((name) => <th scope="col" key={name}>{name}</th>)}</tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row.category}>
                <th scope="row"><button type="button" class="plain" onClick={() => onChoose(row.category)}><bdi>{categoryName(row.category)}</bdi></button></th>
                <td class="number">{number(row.subscription_count)}</td>
                <td class="number">{number(row.delivery_count)}</td>
                <td class="number">{ratio(row.figures["early_delivery_ratio"])}</td>
                <td class="number">{ratio(row.figures["stockout_ratio"])}</td>
                <td class="number">{decimal(row.figures["delivered_per_used_ratio"])}</td>
                <td class="number">{ratio(row.figures["bought_again_ratio"])}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Items({ report: now, category }: { report: Report; category: string }) {
  const [limit, setLimit] = useState(PAGE);
  const items = itemsOf(now, category);
  return (
    <section class="panel" aria-labelledby="items-title">
      <h2 id="items-title">{words.items}</h2>
      {items.length === 0 && <p class="soft">{words.noItems}</p>}
      {items.length > 0 && (
        <div class="scroll" tabIndex={0} role="group" aria-labelledby="items-title">
          <table class="items">
            <thead>
              <tr>{[words.item, words.subscriptions, words.early, words.ranOut, words.perUsed].map((name) => <th scope="col" key={name}>{name}</th>)}</tr>
            </thead>
            <tbody>
              {items.slice(0, limit).map((item) => (
                <tr key={`${item.item}\u0000${item.item_id}\u0000${item.variant}`}>
                  <th scope="row"><bdi>{item.item}</bdi>{item.variant && <bdi class="soft"> {item.variant}</bdi>}</th>
                  <td class="number">{number(item.subscription_count)}</td>
                  <td class="number">{optional(item.early_delivery_ratio, share)}</td>
                  <td class="number">{optional(item.stockout_ratio, share)}</td>
                  <td class="number">{optional(item.delivered_per_used_ratio, (value) => value.toFixed(2))}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {items.length > limit && (
        <button type="button" class="screen" onClick={() => setLimit(limit + PAGE)}>
          {texts.plan.showMore(Math.min(PAGE, items.length - limit))}
        </button>
      )}
    </section>
  );
}

const optional = (value: number | null | undefined, text: (value: number) => string): string =>
  value === null || value === undefined ? words.unknown : text(value);
const ratio = (figure: Figure | undefined): string => optional(figure?.value, share);
const decimal = (figure: Figure | undefined): string => optional(figure?.value, (value) => value.toFixed(2));
const amount = (figure: Figure | undefined, currency: string): string => optional(figure?.value, (value) => money(value, currency));

function range(figure: Figure | undefined, text: (value: number) => string): string {
  if (!figure || figure.low === null || figure.high === null) return "";
  return words.range(text(figure.low), text(figure.high));
}
