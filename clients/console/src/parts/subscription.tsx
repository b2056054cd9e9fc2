/** A subscription of a customer: what comes next, what to change and why, the levers, and what happened. */
import {
  PantreeError,
  type ChangeSubscriptionResponse,
  type CustomerSubscription,
  type IntervalUnit,
  type SubscriptionDelivery,
  type SubscriptionEvent,
  type SubscriptionReview,
} from "pantree-client";
import { useEffect, useRef, useState } from "preact/hooks";
import { asksForKey, client } from "../api.js";
import { dayOfText, longDay, longDayIn, moment, money, number } from "../format.js";
import {
  engineOf,
  eventName,
  isActive,
  isChangeable,
  isEnded,
  isMoved,
  isRefusal,
  isRestorable,
  leverOf,
  nextOf,
  RequestIds,
  unitOf,
  type Lever,
} from "../state/subscriptions.js";
import { texts } from "../texts/index.js";
import { announce } from "./live.js";
import { Problem } from "./problem.js";

const words = texts.subscriptions;
const UNITS: readonly IntervalUnit[] = ["INTERVAL_UNIT_DAY", "INTERVAL_UNIT_WEEK", "INTERVAL_UNIT_MONTH"];
const SKIP_REASONS = ["too_much", "away", "too_expensive", "quality", "delivery", "other"];
const CANCEL_REASONS = ["too_much", "too_expensive", "not_needed", "quality", "delivery", "moved", "other"];
const MAX_QUANTITY = 10_000;
const MAX_COUNT = 366;
const FOUR_WEEKS = 28;

/** Changes a subscription; the answer is shown already when it returns. */
export type Change = (subscription: CustomerSubscription, lever: Lever, requestId: string) => Promise<ChangeSubscriptionResponse>;

/** Which form is open: that of a lever, for some of a delivery. */
type Open =
  | { lever: "skip" | "move"; delivery: SubscriptionDelivery }
  | { lever: "send_now" | "pause" | "reactivate" | "change_interval" | "change_quantity" | "cancel" | "stop" };

interface Props {
  subscription: CustomerSubscription;
  review: SubscriptionReview | undefined;
  advice: "pending" | "known" | "unknown";
  currency: string;
  actor: string;
  change: Change;
}

const day = (text: string): string => longDay(dayOfText(text));
const reasonName = (reason: string): string => words.reasons[reason] ?? reason;

export function SubscriptionCard({ subscription, review, advice, currency, actor, change }: Props) {
  const [open, setOpen] = useState<Open | null>(null);
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const [done, setDone] = useState("");
  const [ids] = useState(() => new RequestIds());
  const box = useRef<HTMLDivElement>(null);
  const { subscription_id, item, interval, quantity, mirror } = subscription;
  const engine = engineOf(subscription);
  const own = !mirror;

  /** The change fails if the subscription no longer has the etag. */
  const act = async (lever: Lever, etag = subscription.etag): Promise<void> => {
    setBusy(true);
    setError(null);
    setDone("");
    try {
      const answer = await change({ ...subscription, etag }, lever, ids.of([subscription_id, etag, actor, lever]));
      ids.forget();
      const name = Object.keys(lever)[0] ?? "";
      const isAnnounced = name === "cancel" && !isEnded(answer.subscription);
      const text = answer.events.length === 0 ? words.unchanged : isAnnounced ? words.cancelAnnounced : words.changed[name] ?? "";
      setDone(text);
      announce(text);
      setOpen(null);
      // The button that was pressed may be gone.
      setTimeout(() => box.current?.focus());
    } catch (problem) {
      if (!asksForKey(problem)) setError(problem);
      if (isMismatch(problem)) setOpen(null);
      if (isRefusal(problem)) ids.forget();
    } finally {
      setBusy(false);
    }
  };
  const start = (next: Open): void => {
    setError(null);
    setDone("");
    setOpen(next);
  };
  return (
    <div ref={box} tabIndex={-1} class="focused">
      <header>
        <h3><bdi>{item.name}</bdi>{item.variant && <>{" · "}<bdi>{item.variant}</bdi></>}</h3>
        <span class="badge"><span aria-hidden="true">{isEnded(subscription) ? "✕" : isActive(subscription) ? "●" : "Ⅱ"} </span>{statusText(subscription)}</span>
        <p class="lead">{words.terms(quantity, words.every(unitOf(interval), interval.count))}</p>
        <p class="soft"><bdi>{words.idOf(subscription_id)}</bdi>{subscription.created_at && `, ${words.begun(longDayIn(subscription.created_at, subscription.time_zone))}`}</p>
        <Cancelled subscription={subscription} />
      </header>
      {mirror && <p class="note">{words.mirrored(engine, mirror.external_id)}</p>}
      {error !== null && (isMismatch(error) ? <div class="problem" role="alert"><p>{words.changedMeanwhile}</p></div> : <Problem error={error} />)}
      {done && <p class="done">{done}</p>}
      {!isEnded(subscription) && (
        <Advice {...{ subscription, review, advice, currency, isBusy, engine }}
          onFollow={(lever, etag) => (lever.cancel ? start({ lever: "stop" }) : void act(lever, etag))} />
      )}
      {!isEnded(subscription) && (
        <Deliveries subscription={subscription} isBusy={isBusy} onOpen={start} onRestore={(sequence) => void act({ restore: { sequence } })} />
      )}
      {own && (
        <div class="actions screen" role="group" aria-label={words.levers}>
          <Levers subscription={subscription} isBusy={isBusy} onOpen={start} act={act} />
        </div>
      )}
      {open && own && (
        <LeverForm key={JSON.stringify(open)} {...{ subscription, open, isBusy, review }} onBack={() => setOpen(null)} act={act} />
      )}
      <History subscription={subscription} />
    </div>
  );
}

const isMismatch = (problem: unknown): boolean => problem instanceof PantreeError && problem.code === "ETAG_MISMATCH";

function statusText(subscription: CustomerSubscription): string {
  const { status, pause_until, cancel_on, household_pause } = subscription;
  const name = words.status[status] ?? status;
  switch (status) {
    case "SUBSCRIPTION_STATUS_PAUSED": {
      const text = pause_until ? words.pausedUntil(day(pause_until)) : name;
      return household_pause ? words.pausedWithAll(text) : text;
    }
    case "SUBSCRIPTION_STATUS_CANCELLED":
      return cancel_on ? words.cancelledOn(day(cancel_on)) : name;
    case "SUBSCRIPTION_STATUS_ACTIVE": {
      const end = [cancel_on, subscription.expires_on].filter(Boolean).sort()[0];
      return end ? words.endsOn(day(end)) : name;
    }
    default:
      return name;
  }
}

/** Why it was or will be cancelled; the comment is what the customer wrote. */
function Cancelled({ subscription: { cancellation } }: { subscription: CustomerSubscription }) {
  if (!cancellation || !(cancellation.reason || cancellation.comment)) return null;
  return (
    <p>
      {cancellation.reason && words.cancelledBecause(reasonName(cancellation.reason))}
      {cancellation.feedback && `; ${words.wouldKeep(words.feedbacks[cancellation.feedback] ?? cancellation.feedback)}`}
      {cancellation.comment && <>{". "}<q><bdi>{cancellation.comment}</bdi></q></>}
    </p>
  );
}

interface AdviceProps {
  subscription: CustomerSubscription;
  review: SubscriptionReview | undefined;
  advice: "pending" | "known" | "unknown";
  currency: string;
  engine: string;
  isBusy: boolean;
  /** Gets the etag for which the advice was made. */
  onFollow: (lever: Lever, etag: string | undefined) => void;
}

function Advice({ subscription, review, advice, currency, engine, isBusy, onFollow }: AdviceProps) {
  if (advice === "unknown") return null;
  if (!review) return <p class="advice soft">{advice === "pending" ? words.adviceLoading : words.noAdviceForThis}</p>;
  const { action, reasons, urgency, change, now, after, evidence } = review;
  const isKept = action === "REVIEW_ACTION_KEEP";
  const amount = (cost: number | undefined): string => (cost === undefined ? words.unknown : money(cost, currency));
  const count = (value: number | undefined): string => (value === undefined ? words.unknown : number(value));
  const rows: readonly (readonly [string, string, string])[] = [
    [words.delivered, number(now.delivered_units), number(after.delivered_units)],
    [words.early, count(now.early_delivery_count), count(after.early_delivery_count)],
    [words.ranOut, count(now.stockout_count), count(after.stockout_count)],
    [words.cost, amount(now.cost), amount(after.cost)],
  ];
  return (
    <div class="advice" data-action={action}>
      <h4>{words.adviceOf(words.actions[action] ?? action, detailOf(subscription, review))}</h4>
      <ul class="reasons">
        {reasons.map(({ code, text }) => <li key={code}><bdi>{text}</bdi></li>)}
      </ul>
      {urgency && !isKept && (
        <p class="urgency" data-soon={urgency.days_left <= 2}>
          {words.before(urgency.cut_off_at ? moment(urgency.cut_off_at, subscription.time_zone) : day(urgency.date), urgency.days_left)}
        </p>
      )}
      {change && <button type="button" class="main screen" disabled={isBusy} onClick={() => onFollow(leverOf(change), change.etag || undefined)}>{words.apply}</button>}
      {!change && !isKept && engine && <p>{words.applyInEngine(engine)}</p>}
      <details>
        <summary>{words.effect}</summary>
        <table>
          <thead>
            <tr><th scope="col">{words.what}</th><th scope="col">{words.now}</th>{!isKept && <th scope="col">{words.after}</th>}</tr>
          </thead>
          <tbody>
            {rows.map(([name, before, later]) => (
              <tr key={name}><th scope="row">{name}</th><td>{before}</td>{!isKept && <td>{later}</td>}</tr>
            ))}
          </tbody>
        </table>
      </details>
      <details>
        <summary>{words.evidence}</summary>
        <p>{evidence.first_date ? words.evidenceSince(day(evidence.first_date)) : words.noEvidence}</p>
        <ul>{evidenceOf(review).map((text) => <li key={text}>{text}</li>)}</ul>
      </details>
    </div>
  );
}

function detailOf(subscription: CustomerSubscription, { change, urgency }: SubscriptionReview): string {
  if (change?.change_interval) return words.every(unitOf(change.change_interval.interval), change.change_interval.interval.count);
  if (change?.change_quantity) return words.unitsInstead(change.change_quantity.quantity, subscription.quantity);
  if (change?.skip && urgency) return day(urgency.date);
  if (change?.pause?.until) return words.untilDay(day(change.pause.until));
  if (change?.change_item) return [change.change_item.item.name, change.change_item.item.variant].filter(Boolean).join(" · ");
  return "";
}

function evidenceOf({ evidence }: SubscriptionReview): string[] {
  const of = words.evidenceOf;
  const units = (value: number): string => words.unitsText(number(value));
  const counted: readonly (readonly [number, (n: number) => string])[] = [
    [evidence.delivered_count, of.delivered],
    [evidence.silent_count, of.silent],
    [evidence.skipped_count, of.skipped],
    [evidence.returned_count, of.returned],
    [evidence.top_up_count, of.topUp],
    [evidence.bought_anyway_count, of.anyway],
    [evidence.failed_count, of.failed],
    [evidence.purchase_count, (n) => of.purchases(n, units(evidence.purchased_units))],
  ];
  const found = counted.filter(([n]) => n > 0).map(([n, text]) => text(n));
  const { use_per_day, earlier_use_per_day, units_on_hand } = evidence;
  if (use_per_day !== undefined) found.push(of.use(units(use_per_day * FOUR_WEEKS)));
  if (earlier_use_per_day !== undefined) found.push(of.earlierUse(units(earlier_use_per_day * FOUR_WEEKS)));
  if (units_on_hand !== undefined) found.push(of.onHand(units(units_on_hand)));
  return found;
}

interface DeliveriesProps {
  subscription: CustomerSubscription;
  isBusy: boolean;
  onOpen: (open: Open) => void;
  onRestore: (sequence: number) => void;
}

function Deliveries({ subscription, isBusy, onOpen, onRestore }: DeliveriesProps) {
  const { next_deliveries: deliveries, mirror, time_zone } = subscription;
  const next = nextOf(subscription);
  const now = new Date();
  const canChange = !mirror && isActive(subscription);
  return (
    <section>
      <p class="next">{next ? words.next(day(next.date), deliveryText(next)) : words.noNext}</p>
      {deliveries.length > 0 && (
        <details>
          <summary>{words.deliveries}</summary>
          <div class="stacked">
            <table>
              <thead>
                <tr>
                  <th scope="col">{words.day}</th><th scope="col">{words.units}</th><th scope="col">{words.state}</th>
                  {!mirror && <th scope="col">{words.changeUntil}</th>}
                  {canChange && <th scope="col" class="screen">{words.change}</th>}
                </tr>
              </thead>
              <tbody>
                {deliveries.map((one) => (
                  <tr key={one.sequence}>
                    <th scope="row">{day(one.date)}</th>
                    <td class="number" data-label={words.units}>{one.quantity}</td>
                    <td data-label={words.state}>{deliveryText(one)}</td>
                    {!mirror && <td data-label={words.changeUntil}>{new Date(one.cut_off_at) > now ? moment(one.cut_off_at, time_zone) : words.over}</td>}
                    {canChange && (
                      <td class="screen changes">
                        {isChangeable(one, now) && (
                          <>
                            <button type="button" disabled={isBusy} aria-label={words.skipOf(day(one.date))}
                              onClick={() => onOpen({ lever: "skip", delivery: one })}>{words.skip}</button>
                            <button type="button" disabled={isBusy} aria-label={words.moveOf(day(one.date))}
                              onClick={() => onOpen({ lever: "move", delivery: one })}>{words.move}</button>
                          </>
                        )}
                        {isRestorable(one, now) && (
                          <button type="button" disabled={isBusy} aria-label={words.restoreOf(day(one.date))}
                            onClick={() => onRestore(one.sequence)}>{words.restore}</button>
                        )}
                      </td>
                    )}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </details>
      )}
    </section>
  );
}

function deliveryText(delivery: SubscriptionDelivery): string {
  const { status, reason, scheduled_date, out_of_stock, delivered_quantity, returned_quantity, quantity } = delivery;
  return [
    words.deliveryStates[status] ?? status,
    reason && words.because(reasonName(reason)),
    isMoved(delivery) && words.movedFrom(day(scheduled_date)),
    out_of_stock && words.outOfStock,
    delivered_quantity !== undefined && delivered_quantity !== quantity && words.arrived(delivered_quantity),
    returned_quantity > 0 && words.returned(returned_quantity),
  ].filter(Boolean).join("");
}

interface LeversProps {
  subscription: CustomerSubscription;
  isBusy: boolean;
  onOpen: (open: Open) => void;
  act: (lever: Lever) => Promise<void>;
}

function Levers({ subscription, isBusy, onOpen, act }: LeversProps) {
  const button = (text: string, onClick: () => void) => <button type="button" disabled={isBusy} onClick={onClick}>{text}</button>;
  if (isEnded(subscription)) return button(words.reactivate(false), () => onOpen({ lever: "reactivate" }));
  const now = new Date();
  const next = isActive(subscription) ? subscription.next_deliveries.find((one) => isChangeable(one, now)) : undefined;
  return (
    <>
      {next && button(words.skipNext, () => onOpen({ lever: "skip", delivery: next }))}
      {isActive(subscription) && button(words.pause, () => onOpen({ lever: "pause" }))}
      {!isActive(subscription) && button(words.resume, () => void act({ resume: {} }))}
      {button(words.interval, () => onOpen({ lever: "change_interval" }))}
      {button(words.quantity, () => onOpen({ lever: "change_quantity" }))}
      {next && button(words.sendNow, () => onOpen({ lever: "send_now" }))}
      {subscription.cancel_on
        ? button(words.reactivate(true), () => void act({ reactivate: {} }))
        : button(words.cancel, () => onOpen({ lever: "cancel" }))}
    </>
  );
}

interface FormProps {
  subscription: CustomerSubscription;
  open: Open;
  isBusy: boolean;
  review: SubscriptionReview | undefined;
  onBack: () => void;
  act: (lever: Lever) => Promise<void>;
}

/** The form of a lever. What cannot be taken back is asked for once more. */
function LeverForm({ subscription, open, isBusy, onBack, act }: FormProps) {
  const [date, setDate] = useState(open.lever === "move" ? open.delivery.date : "");
  const [reason, setReason] = useState(open.lever === "skip" || open.lever === "stop" ? "too_much" : "");
  const [feedback, setFeedback] = useState("");
  const [comment, setComment] = useState("");
  const [count, setCount] = useState(String(open.lever === "change_quantity" ? subscription.quantity : subscription.interval.count));
  const [unit, setUnit] = useState<IntervalUnit>(subscription.interval.unit);
  const [fault, setFault] = useState("");
  const [isSure, setSure] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  const id = `lever-${subscription.subscription_id}`;
  const { lever } = open;
  const next = subscription.next_deliveries.find((one) => isChangeable(one, new Date()));
  const isFinal = lever === "cancel" || lever === "stop" || lever === "send_now";
  const isAsking = isFinal && (isSure || lever === "send_now");

  useEffect(() => {
    form.current?.querySelector<HTMLElement>("input, select, button")?.focus();
  }, [isSure]);

  const submit = (event: Event): void => {
    event.preventDefault();
    const found = leverWith();
    if (typeof found === "string") setFault(found);
    else if (isFinal && !isAsking) setSure(true);
    else void act(found);
  };
  /** The lever with what was typed, or what is wrong with that. */
  const leverWith = (): Lever | string => {
    const whole = Number(count);
    switch (open.lever) {
      case "skip":
        return { skip: { sequence: open.delivery.sequence, ...(reason && { reason }) } };
      case "move":
        return date ? { move: { sequence: open.delivery.sequence, date } } : words.noDay;
      case "send_now":
        return { send_now: {} };
      case "pause":
        return { pause: { ...(date && { until: date }) } };
      case "reactivate":
        return { reactivate: { ...(date && { next_date: date }) } };
      case "change_quantity":
        return isWhole(whole, MAX_QUANTITY) ? { change_quantity: { quantity: whole } } : words.badQuantity;
      case "change_interval":
        return isWhole(whole, MAX_COUNT)
          ? { change_interval: { interval: { unit, count: whole }, ...(date && { next_date: date }) } }
          : words.badCount;
      case "cancel":
      case "stop":
        return { cancel: { ...(date && { cancel_on: date }), cancellation: { reason, feedback, comment: comment.trim() } } };
    }
  };
  const dateField = (label: string, hint: string) => (
    <>
      <label for={`${id}-date`}>{label}</label>
      <input id={`${id}-date`} type="date" class="short" value={date} aria-describedby={`${id}-hint`}
        onInput={(event) => setDate(event.currentTarget.value)} />
      <p id={`${id}-hint`} class="soft">{hint}</p>
    </>
  );
  const select = (name: string, label: string, value: string, set: (value: string) => void, options: readonly (readonly [string, string])[]) => (
    <>
      <label for={`${id}-${name}`}>{label}</label>
      <select id={`${id}-${name}`} class="short" value={value} onChange={(event) => set(event.currentTarget.value)}>
        {options.map(([option, text]) => <option key={option} value={option}>{text}</option>)}
      </select>
    </>
  );
  const number = (label: string) => (
    <>
      <label for={`${id}-count`}>{label}</label>
      <input id={`${id}-count`} class="short" inputMode="numeric" value={count} aria-invalid={fault !== ""} aria-describedby={`${id}-fault`}
        onInput={(event) => setCount(event.currentTarget.value)} />
    </>
  );
  const reasonsOf = (names: readonly string[]) => [["", words.notSaid] as const, ...names.map((name) => [name, reasonName(name)] as const)];
  return (
    <form ref={form} class="panel lever screen" noValidate aria-label={`${titleOf(open)}: ${subscription.item.name}`} onSubmit={submit}
      onKeyDown={(event) => { if (event.key === "Escape") onBack(); }}>
      <h4>{titleOf(open)}</h4>
      {isAsking ? (
        <p><strong>{lever === "send_now"
          ? words.confirmSend(subscription.item.name, next?.quantity ?? subscription.quantity, next ? day(next.date) : "")
          : words.confirmCancel(subscription.item.name, date && day(date))}</strong></p>
      ) : (
        <>
          {lever === "skip" && <>{select("reason", words.reason, reason, setReason, reasonsOf(SKIP_REASONS))}<p class="soft">{words.skipHint}</p></>}
          {lever === "move" && dateField(words.moveTo, words.moveHint)}
          {lever === "pause" && dateField(words.until, words.untilHint)}
          {lever === "reactivate" && dateField(words.nextDate, words.reactivateHint)}
          {lever === "change_quantity" && number(words.quantityLabel)}
          {lever === "change_interval" && (
            <>
              {number(words.everyLabel)}
              {select("unit", words.unitLabel, unit, (value) => setUnit(value as IntervalUnit),
                UNITS.map((one) => [one, words.unitNames[one.replace("INTERVAL_UNIT_", "")] ?? one] as const))}
              {dateField(words.nextDate, words.nextDateHint)}
            </>
          )}
          {(lever === "cancel" || lever === "stop") && (
            <>
              {select("reason", words.reason, reason, setReason, reasonsOf(CANCEL_REASONS))}
              {select("feedback", words.feedback, feedback, setFeedback, [["", words.notSaid], ...Object.entries(words.feedbacks)])}
              <label for={`${id}-comment`}>{words.comment}</label>
              <input id={`${id}-comment`} maxLength={2000} autocomplete="off" value={comment} aria-describedby={`${id}-comment-hint`}
                onInput={(event) => setComment(event.currentTarget.value)} />
              <p id={`${id}-comment-hint`} class="soft">{words.commentHint}</p>
              {dateField(words.cancelWhen, words.cancelWhenHint)}
            </>
          )}
        </>
      )}
      <p id={`${id}-fault`} class="fault" role="alert">{fault}</p>
      <div class="actions">
        <button type="submit" class="main" disabled={isBusy}>
          {isBusy ? words.working : lever === "send_now" ? words.yesSend : isAsking ? words.yesCancel : isFinal ? words.goOn : words.doIt}
        </button>
        <button type="button" onClick={onBack}>{words.back}</button>
      </div>
    </form>
  );
}

const isWhole = (value: number, max: number): boolean => Number.isInteger(value) && value >= 1 && value <= max;

function titleOf(open: Open): string {
  switch (open.lever) {
    case "skip":
      return words.skipOf(day(open.delivery.date));
    case "move":
      return words.moveOf(day(open.delivery.date));
    case "send_now":
      return words.titles.sendNow;
    case "pause":
      return words.titles.pause;
    case "reactivate":
      return words.titles.reactivate;
    case "change_interval":
      return words.titles.interval;
    case "change_quantity":
      return words.titles.quantity;
    case "cancel":
    case "stop":
      return words.titles.cancel;
  }
}

/** The events, which are read when they are opened, and again after a change. */
function History({ subscription: { customer_id, subscription_id, version, time_zone } }: { subscription: CustomerSubscription }) {
  const [isOpen, setOpen] = useState(false);
  const [events, setEvents] = useState<readonly SubscriptionEvent[] | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    if (!isOpen) return undefined;
    const abort = new AbortController();
    setError(null);
    client().subscriptionEvents(customer_id, subscription_id, { signal: abort.signal }).then(setEvents, (problem: unknown) => {
      if (!abort.signal.aborted && !asksForKey(problem)) setError(problem);
    });
    return () => abort.abort();
  }, [isOpen, version, attempt]);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{words.history}</summary>
      {error !== null && <Problem error={error} onRetry={() => setAttempt(attempt + 1)} />}
      {events && (
        <div class="stacked">
          <table>
            <thead>
              <tr><th scope="col">{words.when}</th><th scope="col">{words.event}</th><th scope="col">{words.actorColumn}</th></tr>
            </thead>
            <tbody>
              {[...events].reverse().map((event) => (
                <tr key={event.number}>
                  <td data-label={words.when}>{moment(event.occurred_at, time_zone)}</td>
                  <td data-label={words.event}><bdi>{eventText(event)}</bdi></td>
                  <td data-label={words.actorColumn}><bdi>{event.actor === "schedule" ? words.itself : event.actor || words.nobody}</bdi></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}

function eventText(event: SubscriptionEvent): string {
  const { data } = event;
  const text = words.events[eventName(event)];
  if (!text) return event.type;
  const reason = data.cancellation?.reason || data.reason;
  return text({
    number: data.sequence,
    day: data.date && day(data.date),
    until: data.until && day(data.until),
    every: data.interval ? words.every(unitOf(data.interval), data.interval.count) : "",
    item: data.item?.name ?? "",
    quantity: data.quantity,
    reason: reason && words.because(reasonName(reason)),
    isHousehold: data.household_pause,
  });
}
