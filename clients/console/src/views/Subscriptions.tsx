import { signal } from "@preact/signals";
import { PantreeError, type CustomerSubscription, type SubscriptionReview, type SubscriptionReviews } from "pantree-client";
import { useEffect, useState } from "preact/hooks";
import { asksForKey, client, key } from "../api.js";
import { dayOfText, longDay } from "../format.js";
import { announce } from "../parts/live.js";
import { Problem } from "../parts/problem.js";
import { SubscriptionCard, type Change } from "../parts/subscription.js";
import { go, route } from "../router.js";
import { config } from "../state/session.js";
import { isEnded, isRefusal, RequestIds, runningOf } from "../state/subscriptions.js";
import { texts } from "../texts/index.js";

const words = texts.subscriptions;
const ACTOR = "pantree-actor";
const MAX_ACTOR_LENGTH = 100;
const HOUSEHOLD = "subscriptions";

interface Customer {
  id: string;
  subscriptions: readonly CustomerSubscription[];
}

const customer = signal<Customer | null>(null);
/** Null while they are computed. */
const advice = signal<SubscriptionReviews | "unknown" | null>(null);
const error = signal<unknown>(null);
const isLoading = signal(false);
const actor = signal(globalThis.sessionStorage?.getItem(ACTOR) ?? "");
let loading = new AbortController();
let reviewing = new AbortController();

/** Reads what is stored, and then the advice, which takes longer and which the page can do without. */
async function load(id: string): Promise<void> {
  stop();
  loading = new AbortController();
  const { signal: stopped } = loading;
  if (customer.value?.id !== id) customer.value = null;
  isLoading.value = true;
  error.value = null;
  announce(words.loading);
  try {
    config.value ??= await client().config({ signal: stopped });
    if (!hasHistory()) return;
    const subscriptions = await client().subscriptions(id, { signal: stopped });
    customer.value = { id, subscriptions };
    const ended = subscriptions.filter(isEnded).length;
    announce(subscriptions.length ? words.shown(subscriptions.length - ended, ended) : words.none);
    if (subscriptions.length) void review(id);
  } catch (problem) {
    if (!stopped.aborted && !asksForKey(problem)) error.value = problem;
  } finally {
    if (!stopped.aborted) isLoading.value = false;
  }
}

/** Asks for advice; what was asked for an earlier state is given up. */
async function review(id: string): Promise<void> {
  reviewing.abort();
  reviewing = new AbortController();
  const { signal: stopped } = reviewing;
  advice.value = null;
  try {
    const found = await client().reviewSubscriptions(id, { signal: stopped });
    if (!stopped.aborted) advice.value = found;
  } catch (problem) {
    if (!stopped.aborted && !asksForKey(problem)) advice.value = "unknown";
  }
}

function stop(): void {
  loading.abort();
  reviewing.abort();
}

// Another key may belong to another shop.
key.subscribe(() => {
  stop();
  isLoading.value = false;
  customer.value = null;
  advice.value = null;
});

const hasHistory = (): boolean => config.value?.components.some(({ name, enabled }) => name === "history" && enabled) ?? false;

const actorName = (): string => (actor.value.trim() ? `support:${actor.value.trim()}` : "support");

/** Puts changed subscriptions in the place of what was shown, and asks for advice again. */
function put(changed: readonly CustomerSubscription[]): void {
  const shown = customer.value;
  if (!shown) return;
  const byId = new Map(changed.map((one) => [one.subscription_id, one]));
  customer.value = { ...shown, subscriptions: shown.subscriptions.map((one) => byId.get(one.subscription_id) ?? one) };
  void review(shown.id);
}

/** Changes a subscription as it is shown: if somebody else changed it meanwhile, it is read again and nothing is done. */
const change: Change = async (subscription, lever, requestId) => {
  const { customer_id, subscription_id, etag } = subscription;
  try {
    const answer = await client().changeSubscription({
      customer_id,
      subscription_id,
      etag,
      request_id: requestId,
      actor: actorName(),
      ...lever,
    });
    put([answer.subscription]);
    return answer;
  } catch (problem) {
    if (asksForKey(problem)) throw problem;
    if (problem instanceof PantreeError && problem.code === "ETAG_MISMATCH" && customer.value?.id === customer_id) await load(customer_id);
    throw problem;
  }
};

export function Subscriptions() {
  const id = decoded(route.value.path.split("/")[2] ?? "");
  useEffect(() => {
    if (!config.value) {
      client().config().then((found) => { config.value = found; }, (problem: unknown) => { if (!asksForKey(problem)) error.value = problem; });
    }
  }, []);
  useEffect(() => {
    if (id) void load(id);
  }, [id]);
  const shown = customer.value?.id === id ? customer.value : null;
  return (
    <div class="subscriptions">
      <h1>{words.title}</h1>
      <p class="intro screen">{words.intro}</p>
      {config.value && !hasHistory() ? (
        <div class="warning">
          <p><strong>{words.noHistory}</strong></p>
          <p>{words.noHistoryHow}</p>
        </div>
      ) : (
        <>
          <Lookup key={id} id={id} />
          {error.value !== null && <Problem error={error.value} onRetry={id ? () => void load(id) : undefined} />}
          {isLoading.value && !shown && <p class="status" data-phase="running">{words.loading}</p>}
          {shown && <Overview shown={shown} />}
        </>
      )}
    </div>
  );
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function Lookup({ id }: { id: string }) {
  const [value, setValue] = useState(id);
  const [fault, setFault] = useState("");
  const submit = (event: Event): void => {
    event.preventDefault();
    const wanted = value.trim();
    setFault(wanted ? "" : words.noCustomer);
    if (!wanted) document.getElementById("customer")?.focus();
    else if (wanted === id) void load(id);
    else go(`/subscriptions/${encodeURIComponent(wanted)}`);
  };
  return (
    <form class="panel screen lookup" noValidate onSubmit={submit}>
      <div>
        <label for="customer">{words.customer}</label>
        <input id="customer" maxLength={128} autocomplete="off" spellcheck={false} value={value} aria-invalid={fault !== ""}
          aria-describedby="customer-fault" onInput={(event) => setValue(event.currentTarget.value)} />
        <p id="customer-fault" class="fault" role="alert">{fault}</p>
      </div>
      <div>
        <label for="actor">{words.actor}</label>
        <input id="actor" maxLength={MAX_ACTOR_LENGTH} autocomplete="off" value={actor.value} aria-describedby="actor-hint"
          onInput={(event) => { actor.value = event.currentTarget.value; sessionStorage.setItem(ACTOR, actor.value); }} />
        <p id="actor-hint" class="soft">{words.actorHint}</p>
      </div>
      <button type="submit" class="main">{words.show}</button>
    </form>
  );
}

function Overview({ shown }: { shown: Customer }) {
  const found = advice.value;
  const reviews = new Map<string, SubscriptionReview>(
    found && found !== "unknown" ? found.reviews.map((one) => [one.subscription_id, one]) : [],
  );
  const running = runningOf(shown.subscriptions, reviews);
  const ended = shown.subscriptions.filter(isEnded);
  const state = found === null ? "pending" : found === "unknown" ? "unknown" : "known";
  const currency = found && found !== "unknown" ? found.currency_code : "";
  const cards = (listed: readonly CustomerSubscription[]) => (
    <ul class="cards">
      {listed.map((one) => (
        <li key={one.subscription_id} class="card subscription" data-status={one.status}>
          <SubscriptionCard subscription={one} review={reviews.get(one.subscription_id)} advice={state} currency={currency} actor={actorName()} change={change} />
        </li>
      ))}
    </ul>
  );
  return (
    <div aria-busy={isLoading.value} class={isLoading.value ? "earlier" : ""}>
      <Household shown={shown} running={running} ended={ended.length} />
      {found === "unknown" && <p class="warning">{words.noAdvice}</p>}
      {cards(running)}
      {ended.length > 0 && (
        <details>
          <summary><h2>{words.ended(ended.length)}</h2></summary>
          {cards(ended)}
        </details>
      )}
    </div>
  );
}

interface HouseholdProps {
  shown: Customer;
  running: readonly CustomerSubscription[];
  ended: number;
}

/** What concerns all subscriptions of the customer. */
function Household({ shown, running, ended }: HouseholdProps) {
  const [isAsking, setAsking] = useState(false);
  const [until, setUntil] = useState("");
  const [isBusy, setBusy] = useState(false);
  const [fault, setFault] = useState<unknown>(null);
  const [done, setDone] = useState("");
  const [ids] = useState(() => new RequestIds());
  const paused = running.find(({ household_pause }) => household_pause);
  const hasEngine = running.some(({ mirror }) => mirror);
  const hasOwn = running.some(({ mirror }) => !mirror);

  const act = async (pauseUntil: string | null): Promise<void> => {
    setBusy(true);
    setFault(null);
    setDone("");
    const content = [HOUSEHOLD, pauseUntil, actorName(), running.map(({ etag }) => etag)];
    const input = { customer_id: shown.id, request_id: ids.of(content), actor: actorName() };
    try {
      const pantree = client();
      const { changed } = pauseUntil === null
        ? await pantree.resumeSubscriptions(input)
        : await pantree.pauseSubscriptions({ ...input, until: pauseUntil });
      ids.forget();
      put(changed.map(({ subscription }) => subscription));
      const text = pauseUntil === null ? words.resumedAll(changed.length) : words.pausedAll(changed.length);
      setDone(text);
      announce(text);
      setAsking(false);
    } catch (problem) {
      if (!asksForKey(problem)) setFault(problem);
      if (isRefusal(problem)) ids.forget();
    } finally {
      setBusy(false);
    }
  };
  return (
    <section aria-labelledby="customer-title">
      <div class="bar">
        <div>
          <h2 id="customer-title"><bdi>{words.of(shown.id)}</bdi></h2>
          <p>{shown.subscriptions.length === 0 ? words.none : running.length === 0 ? words.noneRunning : words.shown(running.length, ended)}</p>
        </div>
        <div class="actions screen">
          {hasOwn && <button type="button" aria-expanded={isAsking} onClick={() => setAsking(!isAsking)}>{words.pauseAll}</button>}
          {paused && <button type="button" disabled={isBusy} onClick={() => void act(null)}>{words.resumeAll}</button>}
          <button type="button" onClick={() => void load(shown.id)}>{words.refresh}</button>
        </div>
      </div>
      {paused && <p class="warning">{words.householdPause(paused.pause_until && longDay(dayOfText(paused.pause_until)))}</p>}
      {isAsking && (
        <form class="panel lever" noValidate onSubmit={(event) => { event.preventDefault(); void act(until); }}>
          <p><strong>{words.confirmPauseAll}</strong> {hasEngine && words.engineNotPaused}</p>
          <label for="pause-all">{words.until}</label>
          <input id="pause-all" type="date" class="short" value={until} aria-describedby="pause-all-hint"
            onInput={(event) => setUntil(event.currentTarget.value)} />
          <p id="pause-all-hint" class="soft">{words.untilHint}</p>
          <div class="actions">
            <button type="submit" class="main" disabled={isBusy}>{isBusy ? words.working : words.doIt}</button>
            <button type="button" onClick={() => setAsking(false)}>{words.back}</button>
          </div>
        </form>
      )}
      {fault !== null && <Problem error={fault} />}
      {done && <p class="done">{done}</p>}
    </section>
  );
}
