import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { asksForKey, client } from "../api.js";
import { Chart } from "../charts/Chart.js";
import { categoryName, spendChart } from "../charts/spend.js";
import { number } from "../format.js";
import { Answer } from "../parts/answer.js";
import { announce } from "../parts/live.js";
import { Problem } from "../parts/problem.js";
import { go, route } from "../router.js";
import { EMPTY_LINE, exampleBasket, faultsOf, linkOf, requestOf, wishOf, type Line, type Wish } from "../state/basket.js";
import { fold, IDLE, isLive, OTHER, seriesOf, type Action, type Run } from "../state/run.js";
import { archetypes, catalog, config, loadSession, sessionError } from "../state/session.js";
import { texts } from "../texts/index.js";

const MAX_LOST_ATTEMPTS = 60;
const words = texts.try;

const wish = signal<Wish>({ lines: [], archetype: "", months: "6", seed: "", day: "" });
const isOwnBasket = signal(false);
// The basket of a link, which starts when the shoppers are here.
let isLinked = false;
// What someone typed while the limits of the gateway were still on their way stays.
const isOwnMonths = signal(false);
const run = signal<Run>(IDLE);
// Such as the now of a retry, and the end of a run.
let stopRun: (() => void) | null = null;
let tryNow: (() => void) | null = null;
// Frames write here; one animation frame draws.
let next: Run = IDLE;
let frame = 0;

function act(action: Action): void {
  next = fold(next, action);
  // Hidden tabs get no animation frames; their state still has to end.
  if (document.hidden) run.value = next;
  else if (!frame) {
    frame = requestAnimationFrame(() => {
      frame = 0;
      run.value = next;
    });
  }
}

async function start(): Promise<void> {
  stopRun?.();
  const controller = new AbortController();
  stopRun = () => controller.abort();
  const now = wish.value;
  const seed = now.seed === "" ? Math.floor(Math.random() * 2 ** 32) : Number(now.seed);
  act({ type: "connect", monthCount: Number(now.months) });
  announce(words.connecting);
  try {
    const events = client().stream(requestOf(now, seed), {
      signal: controller.signal,
      maxAttempts: MAX_LOST_ATTEMPTS,
      onRetry: (retry) => {
        tryNow = retry.now;
        act({ type: "lost", attempt: retry.attempt });
        announce(words.lost(next.months.at(-1)?.label ?? ""));
      },
    });
    for await (const event of events) {
      act({ type: "event", event });
      if (event.type === "monthly_update") announce(words.running(event.data.month_number, event.data.month_count));
      if (event.type === "completed") {
        announce(words.done(next.months.length));
        // So that the address gives this very answer again.
        wish.value = { ...now, seed: String(event.data.seed), day: event.data.as_of };
        go(linkOf(wish.value), true);
      }
    }
  } catch (error) {
    if (controller.signal.aborted || asksForKey(error)) act({ type: "stop" });
    else act({ type: "fail", error });
  }
}

function stop(): void {
  stopRun?.();
  act({ type: "stop" });
  announce(words.stopped);
}

function change(part: Partial<Wish>): void {
  // Another question gets another answer.
  wish.value = { ...wish.value, seed: "", day: "", ...part };
}

function choose(id: string): void {
  change({ archetype: id });
  if (!isOwnBasket.value) fillExample(id);
}

function fillExample(id: string): void {
  const shopper = archetypes.value?.archetypes.find((one) => one.id === id);
  if (!shopper) return;
  const lines = exampleBasket(shopper.category_weights.map((weight) => weight.category), catalog.value);
  isOwnBasket.value = false;
  change({ lines });
}

export function Try() {
  const [faults, setFaults] = useState<ReadonlyMap<string, string>>(new Map());
  const form = useRef<HTMLFormElement>(null);
  const shoppers = archetypes.value;

  useEffect(() => {
    void loadSession();
  }, []);

  // A link fills the form; without one, the example of the usual shopper.
  // Before the first picture, so that nothing shifts.
  useLayoutEffect(() => {
    let linked = isOwnBasket.value ? null : wishOf(route.value.query);
    if (!shoppers) {
      // The form has its size before the shoppers arrive.
      if (linked && !wish.value.lines.length) {
        wish.value = linked;
        isLinked = true;
      }
      return;
    }
    if (isLinked) linked = wish.value;
    else if (wish.value.lines.length && wish.value.archetype) return;
    isLinked = false;
    if (linked) {
      isOwnBasket.value = true;
      wish.value = { ...linked, archetype: linked.archetype || shoppers.default_archetype };
      void start();
    } else {
      if (!isOwnMonths.value) wish.value = { ...wish.value, months: String(config.value?.default_simulation_months ?? 6) };
      choose(shoppers.default_archetype);
    }
  }, [shoppers, route.value]);

  const submit = (event: Event): void => {
    event.preventDefault();
    const found = faultsOf(wish.value, config.value?.max_simulation_months ?? 60, texts);
    setFaults(found);
    const first = [...found.keys()][0];
    if (first === undefined) void start();
    else setTimeout(() => form.current?.querySelector<HTMLElement>(`#${first}`)?.focus());
  };

  const shopper = shoppers?.archetypes.find((one) => one.id === wish.value.archetype);
  return (
    <div class="try">
      <h1>{words.title}</h1>
      <p class="intro">{words.intro} <a href="#/household">{words.ownFile}</a></p>
      {sessionError.value !== null && <Problem error={sessionError.value} onRetry={() => void loadSession()} />}
      <div class="columns">
        <form class="panel" ref={form} onSubmit={submit} noValidate>
          <Basket faults={faults} />
          <fieldset>
            <legend>{words.who}</legend>
            <div class="shoppers">
              {(shoppers?.archetypes ?? []).map((one) => (
                <label key={one.id} class="shopper">
                  <input
                    type="radio"
                    name="shopper"
                    checked={one.id === wish.value.archetype}
                    onChange={() => choose(one.id)}
                  />
                  <span>
                    <strong>{one.display_name}</strong>
                    <span class="soft">{one.description}</span>
                    <span class="soft">{words.shopper(one.mean_trip_gap_days, one.mean_basket_items)}</span>
                  </span>
                </label>
              ))}
            </div>
          </fieldset>
          <button type="button" class="plain" onClick={() => fillExample(wish.value.archetype)} disabled={!shoppers}>
            {words.exampleBasket}
          </button>
          <Field id="months" label={words.months} value={wish.value.months} fault={faults.get("months")} mode="numeric"
            onInput={(months) => { isOwnMonths.value = true; change({ months }); }} />
          <details open={faults.has("seed")}>
            <summary>{words.more}</summary>
            <Field id="seed" label={words.seed} hint={words.seedHint} value={wish.value.seed} fault={faults.get("seed")}
              mode="numeric" onInput={(seed) => { wish.value = { ...wish.value, seed }; }} />
            <label>
              {words.day}
              <input type="date" value={wish.value.day} aria-describedby="day-hint"
                onInput={(event) => { wish.value = { ...wish.value, day: event.currentTarget.value }; }} />
            </label>
            <p class="soft" id="day-hint">{words.dayHint}</p>
          </details>
          <div class="actions">
            <button type="submit" class="main" disabled={!shoppers}>{words.show}</button>
            <button type="button" onClick={stop} disabled={!isLive(run.value)}>{words.stop}</button>
            <CopyLink />
          </div>
        </form>
        <div class="results">
          <Progress expected={shopper?.category_weights.map((weight) => weight.category) ?? []} />
          {run.value.phase === "failed" && <Problem error={run.value.error} onRetry={() => void start()} />}
          {run.value.result && (
            <div class={run.value.phase === "done" ? "" : "earlier"} aria-busy={run.value.phase !== "done"}>
              <p class="soft note">{words.simulatedNote} <a href="#/household">{words.ownFile}</a></p>
              <Answer result={run.value.result} />
            </div>
          )}
        </div>
      </div>
    </div>
  );
}

function Field({ id, label, hint, value, fault, mode, onInput }: {
  id: string; label: string; hint?: string; value: string; fault: string | undefined; mode: "numeric" | "decimal";
  onInput: (value: string) => void;
}) {
  return (
    <>
      <label for={id}>{label}</label>
      <input id={id} class="short" inputMode={mode} value={value} aria-invalid={fault !== undefined}
        aria-describedby={`${id}-note`} onInput={(event) => onInput(event.currentTarget.value)} />
      <p id={`${id}-note`} class={fault ? "fault" : "soft"}>{fault ?? hint ?? ""}</p>
    </>
  );
}

function Basket({ faults }: { faults: ReadonlyMap<string, string> }) {
  const { lines } = wish.value;
  const set = (at: number, part: Partial<Line>): void => {
    isOwnBasket.value = true;
    const known = part.name === undefined ? undefined : catalog.value.find((item) => item.name === part.name);
    const priced = known && !lines[at]?.price ? { price: known.usual_price.toFixed(2) } : {};
    change({ lines: lines.map((line, index) => (index === at ? { ...line, ...part, ...priced } : line)) });
  };
  const add = (): void => {
    isOwnBasket.value = true;
    change({ lines: [...lines, EMPTY_LINE] });
    setTimeout(() => document.getElementById(`name-${lines.length}`)?.focus());
  };
  return (
    <fieldset>
      <legend>{words.basket}</legend>
      <datalist id="catalog">
        {catalog.value.map((item) => (
          <option key={item.name} value={item.name}>{categoryName(item.category)}</option>
        ))}
      </datalist>
      <ul class={`basket${lines.length === 0 && !archetypes.value && !isOwnBasket.value ? " waiting" : ""}`}>
        {lines.map((line, at) => {
          const wrong = [`name-${at}`, `price-${at}`, `quantity-${at}`].filter((field) => faults.has(field));
          const input = (field: "name" | "price" | "quantity", label: string, more: object) => (
            <label class={field}>
              <span class={at === 0 ? "small" : "unseen"}>{label}</span>
              <input id={`${field}-${at}`} value={line[field]} aria-invalid={faults.has(`${field}-${at}`)}
                aria-describedby={wrong.length ? `wrong-${at}` : undefined}
                onInput={(event) => set(at, { [field]: event.currentTarget.value })} {...more} />
            </label>
          );
          return (
            <li key={at}>
              {input("name", words.item, { list: "catalog", maxLength: 200, autocomplete: "off", dir: "auto" })}
              {input("price", words.price, { inputMode: "decimal", autocomplete: "off" })}
              {input("quantity", words.quantity, { inputMode: "numeric", autocomplete: "off" })}
              <button type="button" class="plain icon" aria-label={words.remove(line.name)}
                onClick={() => { isOwnBasket.value = true; change({ lines: lines.filter((_, index) => index !== at) }); }}>
                ✕
              </button>
              {wrong.length > 0 && (
                <p class="fault" id={`wrong-${at}`}>{wrong.map((field) => faults.get(field)).join(" ")}</p>
              )}
            </li>
          );
        })}
      </ul>
      <button type="button" id="add" class="plain" onClick={add} disabled={lines.length >= (config.value?.max_items ?? 100)}>
        + {words.add}
      </button>
      {faults.has("add") && lines.length === 0 && <p class="fault">{faults.get("add")}</p>}
    </fieldset>
  );
}

function Progress({ expected }: { expected: readonly string[] }) {
  const { phase, months, monthCount, attempt } = run.value;
  const series = useMemo(() => seriesOf(months, expected), [expected.join(), months.length > 0]);
  const chart = useMemo(
    () => spendChart(months, monthCount || Number(wish.value.months) || 6, series),
    [months, monthCount, series],
  );
  const status = {
    idle: words.waiting,
    connecting: words.connecting,
    running: monthCount > 0 && months.length >= monthCount ? words.thinking : words.running(months.length, monthCount),
    lost: words.lost(months.at(-1)?.label ?? ""),
    stopped: words.stopped,
    done: words.done(months.length),
    failed: "",
  }[phase];
  return (
    <section class="panel" aria-labelledby="spent-title">
      <h2 id="spent-title">{words.spent}</h2>
      <div class="status" data-phase={phase}>
        <span>{phase === "lost" && <span aria-hidden="true">⚠ </span>}{status}</span>
        {phase === "lost" && (
          <button type="button" onClick={() => tryNow?.()}>{words.now}<span class="unseen"> {number(attempt)}</span></button>
        )}
      </div>
      <progress max={Math.max(monthCount, 1)} value={months.length} aria-label={words.months} />
      <ul class="legend" aria-hidden="true">
        {[...series, OTHER].map((category, at) => (
          <li key={category}>
            <span class={`swatch ${category === OTHER ? "other" : `series-${at + 1}`}`} />
            {categoryName(category)}
          </li>
        ))}
      </ul>
      <Chart data={chart} label={words.spent} />
    </section>
  );
}

function CopyLink() {
  const [state, setState] = useState<"" | "copied" | "shown">("");
  const address = new URL(`#${linkOf(wish.value)}`, document.baseURI.split("#")[0]).href;
  const copy = (): void => {
    const done = (): void => { setState("copied"); announce(words.copied); };
    // Not available on pages without TLS.
    if (navigator.clipboard) navigator.clipboard.writeText(address).then(done, () => setState("shown"));
    else setState("shown");
  };
  return (
    <>
      <button type="button" onClick={copy}>{words.copy}</button>
      {state === "copied" && <p class="soft wide">{words.copied}</p>}
      {state === "shown" && (
        <label class="wide">
          {words.linkReady}
          <input readOnly value={address} onFocus={(event) => event.currentTarget.select()} />
        </label>
      )}
    </>
  );
}
