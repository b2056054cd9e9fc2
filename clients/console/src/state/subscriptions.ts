/** The subscriptions of a customer on this page: their order, what can be changed now, and one change at a time. */
import {
  PantreeError,
  type ChangeSubscriptionRequest,
  type CustomerSubscription,
  type DeliveryInterval,
  type SubscriptionDelivery,
  type SubscriptionEvent,
  type SubscriptionReview,
} from "pantree-client";

/** What a change does: one of the levers of the request. */
export type Lever = Omit<ChangeSubscriptionRequest, "customer_id" | "subscription_id" | "request_id" | "actor" | "etag">;

const LEVERS = [
  "skip",
  "restore",
  "move",
  "send_now",
  "pause",
  "resume",
  "reactivate",
  "change_interval",
  "change_quantity",
  "change_item",
  "cancel",
] as const;

/** The lever of an advice. Its item has fields without a value, too, which the gateway takes. */
export function leverOf(change: ChangeSubscriptionRequest): Lever {
  const name = LEVERS.find((lever) => change[lever] !== undefined);
  return name === undefined ? {} : { [name]: change[name] };
}

export const isEnded = ({ status }: CustomerSubscription): boolean =>
  status === "SUBSCRIPTION_STATUS_CANCELLED" || status === "SUBSCRIPTION_STATUS_EXPIRED";

export const isActive = ({ status }: CustomerSubscription): boolean => status === "SUBSCRIPTION_STATUS_ACTIVE";

/** `Recharge`, of `SUBSCRIPTION_ENGINE_RECHARGE`; empty for a subscription that is kept here. */
export function engineOf({ mirror }: CustomerSubscription): string {
  const name = mirror?.engine.replace("SUBSCRIPTION_ENGINE_", "") ?? "";
  return name === "UNSPECIFIED" ? "" : name.slice(0, 1) + name.slice(1).toLowerCase();
}

/** Whether a delivery is still before its cut-off. */
export const isOpen = (delivery: SubscriptionDelivery, now: Date): boolean => new Date(delivery.cut_off_at) > now;

/** Whether a delivery of an active subscription can be left out, moved or sent today. */
export const isChangeable = (delivery: SubscriptionDelivery, now: Date): boolean =>
  delivery.status === "DELIVERY_STATUS_PLANNED" && isOpen(delivery, now);

export const isMoved = ({ date, scheduled_date }: SubscriptionDelivery): boolean => date !== scheduled_date;

/** Whether a skip or a move can be taken back; a pause has to be ended instead. */
export function isRestorable(delivery: SubscriptionDelivery, now: Date): boolean {
  if (!isOpen(delivery, now)) return false;
  const { status, reason } = delivery;
  return (status === "DELIVERY_STATUS_SKIPPED" && reason !== "paused") || (status === "DELIVERY_STATUS_PLANNED" && isMoved(delivery));
}

/** The next delivery that takes place. */
export const nextOf = ({ next_deliveries }: CustomerSubscription): SubscriptionDelivery | undefined =>
  next_deliveries.find(({ status }) => status !== "DELIVERY_STATUS_SKIPPED" && status !== "DELIVERY_STATUS_FAILED");

/** Running subscriptions, those first whose advice is urgent; then by item. */
export function runningOf(
  subscriptions: readonly CustomerSubscription[],
  reviews: ReadonlyMap<string, SubscriptionReview>,
): CustomerSubscription[] {
  const daysLeft = ({ subscription_id }: CustomerSubscription): number => reviews.get(subscription_id)?.urgency?.days_left ?? Infinity;
  return subscriptions
    .filter((one) => !isEnded(one))
    .sort((one, other) => compare(daysLeft(one), daysLeft(other)) || one.item.name.localeCompare(other.item.name));
}

// Infinity minus itself is no order.
const compare = (one: number, other: number): number => (one === other ? 0 : one - other);

/** What an interval is in words of the texts: its unit in lower case, and its number. */
export const unitOf = ({ unit }: DeliveryInterval): string => unit.replace("INTERVAL_UNIT_", "").toLowerCase();

/** `skipped`, of `com.pantree.delivery.skipped`. */
export const eventName = ({ type }: SubscriptionEvent): string => type.split(".").at(-1) ?? type;

/** A new id for a change, so that a repeated request changes nothing twice. Also on pages without TLS, which lack `randomUUID`. */
export function newRequestId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `console-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** Whether the service refused a change, so that it is known not to have happened. */
export const isRefusal = (problem: unknown): boolean =>
  problem instanceof PantreeError && problem.status >= 400 && problem.status < 500;

/** Keeps the id of a change while its content stays the same: pressing a button again after a lost answer is a repetition. */
export class RequestIds {
  private content = "";
  private id = "";

  of(content: unknown): string {
    const text = JSON.stringify(content);
    if (text !== this.content || !this.id) {
      this.content = text;
      this.id = newRequestId();
    }
    return this.id;
  }

  /** After an answer or a refusal: the same change again is a new one. */
  forget(): void {
    this.id = "";
  }
}
