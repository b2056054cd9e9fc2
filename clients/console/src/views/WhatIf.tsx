import { signal } from "@preact/signals";
import { InvalidInputError, type WhatIfDelivery, type WhatIfNeed, type WhatIfTotals } from "pantree-client";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { asksForKey, replayHousehold, type Source } from "../api.js";
import { Chart } from "../charts/Chart.js";
import { stockChart } from "../charts/stock.js";
import { weeksChart } from "../charts/weeks.js";
import { dayOfText, longDay, money, number, shortDay } from "../format.js";
import { Fault, faultOf, HouseholdChoice, HouseholdProblem, WishFields } from "../parts/household.js";
import { announce } from "../parts/live.js";
import { file, source, step, wishes } from "../state/household.js";
import {
  costWithPlan,
  earlyOf,
  foldReplay,
  formFaults,
  isBudgetUnreadable,
  isPlaying,
  itemsAtHome,
  MAX_WEEKS,
  NO_REPLAY,
  ranOutOf,
  conclusionOf,
  type ItemAtHome,
  type Replay,
  type ReplayAction,
} from "../state/whatif.js";
import { texts } from "../texts/index.js";

const words = texts.whatIf;
const MAX_LOST_ATTEMPTS = 60;
// A week stays this long, so that the eye can follow; without motion, weeks are shown as they arrive.
const WEEK_MS = 250;
const PAGE = 40;
const LISTED = 8;
// In the order of the form.
const FIELDS = ["weeks", "doubt", "budget", "boxes", "day"];

const weekCount = signal(String(MAX_WEEKS));
const replay = signal<Replay>(NO_REPLAY);
const faults = signal<ReadonlyMap<string, string>>(new Map());
let played: Source | null = null;
let stopPlaying: (() => void) | null = null;
let tryNow: (() => void) | null = null;
let next: Replay = NO_REPLAY;
let frame = 0;

function act(action: ReplayAction): void {
  next = foldReplay(next, action);
  // Hidden tabs get no animation frames; their state still has to end.
  if (document.hidden) replay.value = next;
  else if (!frame) {
    frame = requestAnimationFrame(() => {
      frame = 0;
      replay.value = next;
    });
  }
}

const isStill = (): boolean => document.hidden || matchMedia("(prefers-reduced-motion: reduce)").matches;

const pause = (abort: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, WEEK_MS);
    abort.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });

async function play(household: Source): Promise<void> {
  stopPlaying?.();
  const controller = new AbortController();
  const { signal: abort } = controller;
  stopPlaying = () => controller.abort();
  played = household;
  faults.value = new Map();
  if (isBudgetUnreadable(wishes.value)) {
    act({ type: "stop" });
    showFaults(new Map([["budget", words.badBudget]]));
    return;
  }
  act({ type: "connect" });
  announce(words.planning);
  try {
    const events = replayHousehold(household, wishes.value, Number(weekCount.value), {
      signal: abort,
      maxAttempts: MAX_LOST_ATTEMPTS,
      onRetry: (retry) => {
        if (abort.aborted) return;
        tryNow = retry.now;
        act({ type: "lost" });
        announce(words.lost);
      },
    });
    for await (const event of events) {
      if (abort.aborted) return;
      act({ type: "event", event });
      if (event.type === "started" && event.data.plan.deliveries.length === 0) announce(words.nothing);
      if (event.type === "completed") announce(words.done(next.weeks.length));
      if (event.type === "week" && next.started?.plan.deliveries.length) {
        announce(words.running(event.data.week_number, next.started.week_count));
        if (!isStill()) await pause(abort);
      }
    }
  } catch (error) {
    // Another replay may have begun.
    if (abort.aborted) return;
    if (asksForKey(error)) {
      played = null;
      act({ type: "stop" });
    } else if (error instanceof InvalidInputError) {
      const found = formFaults(error.fields);
      if (found.others.length || found.faults.size === 0) act({ type: "fail", error });
      else act({ type: "stop" });
      showFaults(found.faults);
    } else act({ type: "fail", error });
  }
}

function showFaults(found: ReadonlyMap<string, string>): void {
  faults.value = found;
  const first = FIELDS.find((field) => found.has(field));
  if (first) setTimeout(() => document.getElementById(first)?.focus());
}

function stop(): void {
  stopPlaying?.();
  act({ type: "stop" });
  announce(words.stopped);
}

function clear(): void {
  stopPlaying?.();
  played = null;
  faults.value = new Map();
  next = NO_REPLAY;
  replay.value = next;
}

export function WhatIf() {
  const household = source.value;
  const now = replay.value;
  useEffect(() => {
    if (!household) clear();
    else if (played !== household) void play(household);
  }, [household]);
  const isShown = household !== null && step.value !== "unreadable";
  return (
    <div class="what-if">
      <h1>{words.title}</h1>
      {!file.value && <p class="intro screen">{words.intro}</p>}
      {now.phase === "failed" && (
        <HouseholdProblem error={now.error} onRetry={household ? () => void play(household) : undefined} />
      )}
      <HouseholdChoice />
      {step.value === "reading" && <p class="status" data-phase="running">{texts.household.reading}</p>}
      {isShown && (
        <>
          <Form household={household} />
          <Outcome replay={now} />
          {now.started && now.started.plan.deliveries.length > 0 && (
            <>
              <AtHome replay={now} />
              <Weeks replay={now} />
              <Misses replay={now} />
            </>
          )}
        </>
      )}
    </div>
  );
}

function Form({ household }: { household: Source }) {
  const playing = isPlaying(replay.value);
  return (
    <form class="panel screen wishes" noValidate onSubmit={(event) => { event.preventDefault(); void play(household); }}>
      <div class="wish">
        <label for="weeks">{words.weeks}</label>
        <select id="weeks" value={weekCount.value} {...faultOf("weeks", faults.value)}
          onChange={(event) => { weekCount.value = event.currentTarget.value; }}>
          {Array.from({ length: MAX_WEEKS }, (_, at) => (
            <option key={at} value={String(at + 1)}>{words.weekCount(at + 1)}</option>
          ))}
        </select>
        <Fault id="weeks" faults={faults.value} />
      </div>
      <WishFields faults={faults.value} />
      <div class="actions">
        <button type="submit" class="main">{words.play}</button>
        <button type="button" onClick={stop} disabled={!playing}>{words.stop}</button>
      </div>
    </form>
  );
}

function Outcome({ replay: { phase, started, weeks, summary } }: { replay: Replay }) {
  const status = {
    idle: "",
    connecting: words.planning,
    running: words.running(weeks.length, started?.week_count ?? 0),
    lost: words.lost,
    stopped: faults.value.size ? "" : words.stopped,
    done: words.done(weeks.length),
    failed: "",
  }[phase];
  const isEmpty = started !== null && started.plan.deliveries.length === 0;
  return (
    <section class="panel" aria-labelledby="outcome-title">
      <h2 id="outcome-title">{started ? words.outcomeOf(longDay(dayOfText(started.as_of))) : words.outcome}</h2>
      <div class="status screen" data-phase={phase}>
        <span>{phase === "lost" && <span aria-hidden="true">⚠ </span>}{status}</span>
        {phase === "lost" && <button type="button" onClick={() => tryNow?.()}>{texts.try.now}</button>}
      </div>
      <progress max={started?.week_count ?? MAX_WEEKS} value={weeks.length} aria-label={words.played} />
      {started && <Lacking texts={started.warnings.map(({ message }) => message)} title={texts.plan.lacking} />}
      {started && <Lacking texts={started.binding_constraints.map(({ text }) => text)} title={texts.plan.binding} />}
      {isEmpty && (
        <>
          <p class="verdict">{words.nothing}</p>
          <p>{words.nothingWhy}</p>
        </>
      )}
      {started && !isEmpty && <Summary started={started} weeks={weeks} summary={summary} />}
    </section>
  );
}

function Lacking({ texts: found, title }: { texts: readonly string[]; title: string }) {
  if (found.length === 0) return null;
  return (
    <div class="warning" role="note">
      <p>{title}</p>
      <ul>
        {found.map((text) => <li key={text}><bdi>{text}</bdi></li>)}
      </ul>
    </div>
  );
}

/** Totals so far, and the conclusion at the end: what is below stays where it is. */
function Summary({ started, weeks, summary }: {
  started: NonNullable<Replay["started"]>; weeks: Replay["weeks"]; summary: Replay["summary"];
}) {
  const totals = summary?.totals ?? weeks.at(-1)?.cumulative_totals;
  const currency = started.currency_code;
  const conclusion = summary && conclusionOf(started, summary);
  const saved = summary?.savings_without_stock ?? 0;
  return (
    <>
      <p class="verdict">
        {conclusion === null ? words.soFar
          : conclusion === "saved" ? words.saved(money(saved, currency), weeks.length)
          : conclusion === "cost" ? words.cost(money(-saved, currency), weeks.length)
          : conclusion === "same" ? words.same(weeks.length)
          : words.noPrices}
      </p>
      <div class="sums">
        {totals && (
          <p>
            {words.brought(totals.box_count, totals.delivery_count)}{" "}
            {words.early(totals.early_delivery_count, totals.delivery_count)}{" "}
            {words.ranOut(totals.stockout_count, totals.need_count)}
          </p>
        )}
        {totals && conclusion !== "noPrices" && (
          <p>
            {words.paid(money(totals.paid, currency), money(costWithPlan(totals), currency))}{" "}
            {summary && summary.stock_cost > 0 && words.stillAtHome(money(summary.stock_cost, currency))}{" "}
            {summary?.promised_savings !== undefined && words.promised(money(summary.promised_savings, currency))}
          </p>
        )}
      </div>
      <details class="meaning">
        <summary>{texts.plan.words}</summary>
        <dl>
          {words.meanings.map(([word, meaning]) => (
            <div key={word}>
              <dt>{word}</dt>
              <dd>{meaning}</dd>
            </div>
          ))}
        </dl>
      </details>
    </>
  );
}

function AtHome({ replay: now }: { replay: Replay }) {
  const items = useMemo(() => itemsAtHome(now), [now.started, now.weeks]);
  const [limit, setLimit] = useState(PAGE);
  return (
    <section aria-labelledby="at-home-title">
      <h2 id="at-home-title">{words.atHome}</h2>
      <ul class="legend" aria-hidden="true">
        <li><span class="sign delivery">▼</span> {texts.charts.timeline.delivery}</li>
        <li><span class="sign early">◆</span> {words.cameEarly}</li>
        <li><span class="sign ran-out">✕</span> {words.hasStockout}</li>
      </ul>
      <ul class="cards">
        {items.slice(0, limit).map((item) => <ItemCard key={item.key} item={item} replay={now} />)}
      </ul>
      {items.length > limit && (
        <button type="button" class="screen" onClick={() => setLimit(limit + PAGE)}>
          {texts.plan.showMore(Math.min(PAGE, items.length - limit))}
        </button>
      )}
    </section>
  );
}

function ItemCard({ item, replay: { started } }: { item: ItemAtHome; replay: Replay }) {
  const chart = useMemo(() => stockChart(item, started?.as_of ?? "", started?.end_date ?? ""), [item]);
  return (
    <li class="card at-home">
      <h3>
        <bdi>{item.name}</bdi>
        {item.variant && <bdi class="soft"> {item.variant}</bdi>}
      </h3>
      <Chart data={chart} label={words.itemAtHome(item.name)} />
    </li>
  );
}

function Weeks({ replay: { started, weeks, summary } }: { replay: Replay }) {
  const currency = started?.currency_code ?? "";
  const chart = useMemo(() => weeksChart(weeks, started?.week_count ?? MAX_WEEKS, currency), [weeks, started]);
  const isPriced = summary?.has_prices ?? true;
  const last = weeks.at(-1);
  const cells = (totals: WhatIfTotals) => (
    <>
      <td>{words.ofWhich(totals.delivery_count, totals.early_delivery_count, words.earlyShort)}</td>
      <td>{words.ofWhich(totals.need_count, totals.stockout_count, words.ranOutShort)}</td>
      {isPriced && (
        <>
          <td class="number">{money(totals.paid, currency)}</td>
          <td class="number">{money(costWithPlan(totals), currency)}</td>
          <td class="number">{money(totals.savings, currency)}</td>
        </>
      )}
    </>
  );
  return (
    <section class="panel" aria-labelledby="weeks-title">
      <h2 id="weeks-title">{words.byWeek}</h2>
      {isPriced && (
        <>
          <ul class="legend" aria-hidden="true">
            <li><span class="swatch other" />{words.really}</li>
            <li><span class="swatch plan" />{words.withPlan}</li>
          </ul>
          <Chart data={chart} label={words.byWeek} />
        </>
      )}
      <div class="scroll" tabIndex={0} role="group" aria-label={words.byWeek}>
        <table class="weekly">
          <thead>
            <tr>
              {[words.weekFrom, words.deliveries, words.needs, ...(isPriced ? [words.really, words.withPlan, words.savedShort] : [])]
                .map((name) => <th scope="col" key={name}>{name}</th>)}
            </tr>
          </thead>
          <tbody>
            {weeks.map((week) => (
              <tr key={week.week_number}>
                <th scope="row">{week.week_number} · {shortDay(dayOfText(week.start_date))}</th>
                {cells(week.totals)}
              </tr>
            ))}
          </tbody>
          {last && (
            <tfoot>
              <tr>
                <th scope="row">{words.total}</th>
                {cells(last.cumulative_totals)}
              </tr>
            </tfoot>
          )}
        </table>
      </div>
    </section>
  );
}

function Misses({ replay: now }: { replay: Replay }) {
  const currency = now.started?.currency_code ?? "";
  const early = earlyOf(now);
  const ranOut = ranOutOf(now);
  const earlyText = ({ quantity, units_on_hand, needed_date }: WhatIfDelivery): string =>
    words.earlyText(quantity, number(units_on_hand), needed_date && shortDay(dayOfText(needed_date)));
  const ranOutText = ({ units, units_from_stock, purchase_cost }: WhatIfNeed): string =>
    words.ranOutText(number(units), number(units_from_stock), purchase_cost > 0 ? money(purchase_cost, currency) : "");
  return (
    <section class="panel misses" aria-labelledby="misses-title">
      <h2 id="misses-title">{words.misses}</h2>
      <div>
        <MissList title={words.cameEarly} none={words.noneEarly} icon="◆" kind="early"
          entries={early.map((one) => ({ ...one, text: earlyText(one) }))} />
        <MissList title={words.hasStockout} none={words.noneRanOut} icon="✕" kind="ran-out"
          entries={ranOut.map((one) => ({ ...one, text: ranOutText(one) }))} />
      </div>
    </section>
  );
}

function MissList({ title, none, icon, kind, entries }: {
  title: string; none: string; icon: string; kind: string; entries: readonly { date: string; name: string; text: string }[];
}) {
  const [isWhole, setWhole] = useState(false);
  const list = useRef<HTMLUListElement>(null);
  const shown = isWhole ? entries : entries.slice(0, LISTED);
  return (
    <div>
      <h3><span class={`sign ${kind}`} aria-hidden="true">{icon}</span> {title}</h3>
      {entries.length === 0 && <p class="soft">{none}</p>}
      <ul ref={list} tabIndex={-1}>
        {shown.map(({ date, name, text }, at) => (
          <li key={at}>{shortDay(dayOfText(date))}: <strong><bdi>{name}</bdi></strong>, {text}</li>
        ))}
      </ul>
      {entries.length > shown.length && (
        <button type="button" class="screen" onClick={() => { setWhole(true); list.current?.focus(); }}>
          {texts.plan.showMore(entries.length - shown.length)}
        </button>
      )}
    </div>
  );
}
