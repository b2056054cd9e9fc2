/** An answer: money, cards by value, near misses, the calendar; printed or downloaded. */
import type { ItemForecast, OmittedItem, ProcessResult, Recommendation } from "pantree-client";
import { useMemo, useState } from "preact/hooks";
import { Chart } from "../charts/Chart.js";
import { curveChart } from "../charts/curve.js";
import { moneyChart } from "../charts/money.js";
import { categoryName } from "../charts/spend.js";
import { timelineChart } from "../charts/timeline.js";
import { csvOf, download } from "../csv/write.js";
import { addDays, dayOfText, longDay, money, percent, share, shortDay } from "../format.js";
import { deliveriesOf, explaining, judge, moneyOf, weeksOf, type Judged, type Value } from "../state/plan.js";
import { texts } from "../texts/index.js";

const PAGE = 40;
const ICONS: Readonly<Record<Value, string>> = { saves: "✔", same: "=", convenience: "◆", unknown: "?" };
const ORDER: readonly Value[] = ["saves", "same", "unknown", "convenience"];

/** Whether an answer has what would change the cadences. */
export type Changes = "known" | "pending" | "unknown";

export function Answer({ result, changes = "known" }: { result: ProcessResult; changes?: Changes }) {
  const { recommendations: set, warnings } = result;
  return (
    <div class="answer">
      {warnings.length > 0 && (
        <div class="warning" role="note">
          <p>{texts.plan.lacking}</p>
          <ul>
            {warnings.map((warning) => (
              <li key={warning.component + warning.code}>
                <bdi>{warning.message}</bdi>
              </li>
            ))}
          </ul>
        </div>
      )}
      {set.binding_constraints.length > 0 && (
        <div class="warning" role="note">
          <p>{texts.plan.binding}</p>
          <ul>
            {set.binding_constraints.map(({ constraint, text }) => (
              <li key={constraint}>
                <bdi>{text}</bdi>
              </li>
            ))}
          </ul>
        </div>
      )}
      {set.recommendations.length > 0 && <MoneyPanel result={result} />}
      <Cards result={result} changes={changes} />
      <NearMisses items={set.near_misses} isOpen={set.recommendations.length === 0} />
      {set.recommendations.length > 0 && <Calendar result={result} />}
    </div>
  );
}

function MoneyPanel({ result }: { result: ProcessResult }) {
  const amounts = moneyOf(result);
  const words = texts.money;
  const currency = result.currency_code;
  const chart = useMemo(() => (amounts ? moneyChart(amounts, currency) : null), [result]);
  if (!amounts || !chart) return <p class="panel">{words.noPrices}</p>;
  let verdict = words.unknown;
  if (amounts.paid !== null) {
    const saving = amounts.paid - amounts.plan;
    verdict =
      Math.abs(saving) <= 0.02 * amounts.paid
        ? words.same
        : saving > 0
          ? words.saves(money(saving, currency))
          : words.costs(money(-saving, currency));
  }
  return (
    <section class="panel" aria-labelledby="money-title">
      <h2 id="money-title">{words.title}</h2>
      <p class="verdict">{verdict}</p>
      <Chart data={chart} label={words.title} isTitled />
      <Meaning text={words.meaning} />
    </section>
  );
}

function Meaning({ text }: { text: string }) {
  return (
    <details class="meaning">
      <summary>{texts.plan.words}</summary>
      <p>{text}</p>
    </details>
  );
}

interface Entry {
  item: Recommendation;
  judged: Judged;
  forecast: ItemForecast | undefined;
  change: string;
  related: string[];
  plainName: string;
}

function entriesOf({ recommendations: set }: ProcessResult): Entry[] {
  const forecasts = new Map(set.forecasts.map((one) => [one.name, one]));
  const changes = new Map(set.cadence_changes.map((one) => [one.name, one.text]));
  const plainNames = new Map(set.plain_names.map((one) => [one.name, one.plain_name]));
  const related = new Map(set.related.map((one) => [one.name, one.items]));
  return set.recommendations
    .map((item, at) => ({
      item,
      judged: judge(item),
      // Names may repeat where a shop distinguishes items by id.
      forecast: set.forecasts[at]?.name === item.name ? set.forecasts[at] : forecasts.get(item.name),
      change: changes.get(item.name) ?? "",
      related: (related.get(item.name) ?? []).filter((one) => one.relation === "RELATION_COMPLEMENT").map((one) => one.name),
      plainName: explaining(item.name, plainNames.get(item.name) ?? ""),
    }))
    .sort((one, other) => ORDER.indexOf(one.judged.value) - ORDER.indexOf(other.judged.value));
}

function Cards({ result, changes }: { result: ProcessResult; changes: Changes }) {
  const words = texts.plan;
  const entries = useMemo(() => entriesOf(result), [result]);
  const [filter, setFilter] = useState("");
  const [limit, setLimit] = useState(PAGE);
  const wanted = filter.trim().toLowerCase();
  const found = wanted
    ? entries.filter(({ item, plainName }) => `${item.name}\n${plainName}`.toLowerCase().includes(wanted))
    : entries;
  if (entries.length === 0) {
    return (
      <section class="panel" aria-labelledby="plan-title">
        <h2 id="plan-title">{words.none}</h2>
        <p>{words.noneWhy}</p>
      </section>
    );
  }
  return (
    <section aria-labelledby="plan-title">
      <div class="bar">
        <h2 id="plan-title">{words.title}</h2>
        <span class="actions screen">
          <button type="button" onClick={() => print()}>{words.print}</button>
          <button type="button" onClick={() => download("pantree.csv", planCsv(entries))}>{words.csv}</button>
        </span>
      </div>
      {entries.length > 8 && (
        <label class="filter screen">
          {words.filter}
          <input type="search" value={filter} onInput={(event) => { setFilter(event.currentTarget.value); setLimit(PAGE); }} />
          <span class="soft">{words.shown(Math.min(limit, found.length), entries.length)}</span>
        </label>
      )}
      <ul class="cards">
        {found.slice(0, limit).map((entry, at) => (
          <Card key={`${entry.item.name}\n${entry.item.item_id}\n${at}`} entry={entry} result={result} changes={changes} />
        ))}
      </ul>
      {found.length > limit && (
        <button type="button" class="screen" onClick={() => setLimit(limit + PAGE)}>
          {words.showMore(Math.min(PAGE, found.length - limit))}
        </button>
      )}
      <details class="meaning">
        <summary>{words.words}</summary>
        <dl>
          {words.meanings.map(([word, meaning]) => (
            <div key={word}>
              <dt>{word}</dt>
              <dd>{meaning}</dd>
            </div>
          ))}
        </dl>
      </details>
    </section>
  );
}

function valueText({ value, saving }: Judged, currency: string): string {
  const { valueText: words } = texts.plan;
  if (value === "saves") return words.saves(money(saving, currency));
  if (value === "convenience") return words.convenience(money(-saving, currency));
  return words[value];
}

function Card({ entry, result, changes }: { entry: Entry; result: ProcessResult; changes: Changes }) {
  const { item, judged, forecast, change, related, plainName } = entry;
  const words = texts.plan;
  const { subscription } = item;
  const currency = result.currency_code;
  const deliveries = useMemo(() => deliveriesOf(item, result), [item]);
  const timeline = useMemo(
    () => timelineChart(item.name, forecast?.purchased_days ?? [], deliveries, result.as_of),
    [item],
  );
  const curve = useMemo(
    () => curveChart(item.name, forecast?.purchase_probabilities ?? [], subscription.interval_days, result.as_of),
    [item],
  );
  const by = addDays(dayOfText(result.as_of), Math.round(1.5 * subscription.interval_days));
  return (
    <li class="card" data-value={judged.value}>
      <article>
        <header>
          <span class="badge">
            <span aria-hidden="true">{ICONS[judged.value]}</span> {words.value[judged.value]}
          </span>
          <h3>
            <bdi>{item.name}</bdi>
            {item.variant && <bdi class="soft"> {item.variant}</bdi>}
          </h3>
          {plainName && <p class="plain-name soft"><bdi>{plainName}</bdi></p>}
        </header>
        <p class="lead">
          {words.every(subscription.interval_days)} · {words.units(subscription.quantity)}
          {subscription.first_delivery_date && ` · ${words.first(shortDay(dayOfText(subscription.first_delivery_date)))}`}
          {subscription.last_delivery_date && ` · ${words.until(longDay(dayOfText(subscription.last_delivery_date)))}`}
        </p>
        <p class="value">
          {valueText(judged, currency)}
          {judged.value === "saves" && judged.high - judged.low >= 1 && (
            <span class="soft">
              {" "}
              ({judged.low < 0
                ? words.rangeFromMore(money(-judged.low, currency), money(judged.high, currency))
                : words.range(money(judged.low, currency), money(judged.high, currency))})
            </span>
          )}
        </p>
        <Chart data={timeline} label={item.name} />
        {curve && <Chart data={curve} label={`${item.name}, ${texts.charts.curve.sure}`} />}
        <p class="soft">
          {words.bought(item.count)}. {words.again(percent(item.cadence_probability), longDay(by))}
          {subscription.delivered_per_used_ratio > 0 && `; ${words.covers(share(subscription.delivered_per_used_ratio))}`}.
        </p>
        <h4>{words.why}</h4>
        <ul class="reasons">
          {item.reasons.map((reason) => (
            <li key={reason.code}>
              <bdi>{reason.text}</bdi>
            </li>
          ))}
        </ul>
        {related.length > 0 && (
          <p class="soft">
            {words.goesWith}: {related.map((name, at) => <span key={name}>{at > 0 && ", "}<bdi>{name}</bdi></span>)}
          </p>
        )}
        <details>
          <summary>{words.change}</summary>
          <p>{change || { known: words.noChange, pending: words.changePending, unknown: words.changeUnknown }[changes]}</p>
        </details>
      </article>
    </li>
  );
}

function NearMisses({ items, isOpen }: { items: readonly OmittedItem[]; isOpen: boolean }) {
  if (items.length === 0) return null;
  return (
    <details class="panel" open={isOpen}>
      <summary>
        <h2>{texts.plan.nearly}</h2>
      </summary>
      <p>{texts.plan.nearlyIntro}</p>
      <ul>
        {items.map((item) => (
          <li key={item.name}>
            <strong><bdi>{item.name}</bdi></strong>: <bdi>{item.reason?.text}</bdi>
          </li>
        ))}
      </ul>
    </details>
  );
}

function Calendar({ result }: { result: ProcessResult }) {
  const words = texts.plan;
  const weeks = useMemo(() => weeksOf(result), [result]);
  const boxes = result.recommendations.plan?.deliveries ?? [];
  const currency = result.currency_code;
  return (
    <section class="panel" aria-labelledby="calendar-title">
      <h2 id="calendar-title">{words.calendar}</h2>
      <p>{words.calendarIntro}</p>
      <p class="soft">{words.calendarSentence(boxes.length, money(boxes.reduce((sum, { price }) => sum + price, 0), currency))}</p>
      <ol class="weeks">
        {weeks.map(({ from, boxes: days }) => (
          <li key={from.getTime()}>
            <h3>{words.week(shortDay(from))}</h3>
            {days.length === 0 && <p class="soft">{words.nothing}</p>}
            {days.map(({ date, items, price, discount_ratio }) => (
              <p key={date}>
                <strong>{shortDay(dayOfText(date))}</strong> {price > 0 && words.box(money(price, currency), share(discount_ratio))}
                <br />
                {items.map(({ name, quantity }, at) => (
                  <span key={at}>
                    {at > 0 && ", "}
                    {quantity > 1 && `${quantity} × `}
                    <bdi>{name}</bdi>
                  </span>
                ))}
              </p>
            ))}
          </li>
        ))}
      </ol>
    </section>
  );
}

function planCsv(entries: readonly Entry[]): string {
  return csvOf([
    texts.plan.csvHeader,
    ...entries.map(({ item, judged, plainName }) => [
      item.name,
      item.subscription.interval_days,
      item.subscription.quantity,
      item.subscription.first_delivery_date,
      item.subscription.annual_cost,
      judged.value === "unknown" ? "" : judged.saving,
      texts.plan.value[judged.value],
      plainName,
    ]),
  ]);
}

export { categoryName };
