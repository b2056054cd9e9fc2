// Generated from the contract by `npm run generate`. Do not edit.

/**
 * ExportCustomerResponse is a piece of what is stored about a customer: first the customer and all lines in batches, if
 * there are any, then the offers, the subscriptions and the merges.
 */
export type ExportCustomerEvent = CustomerEvent | StoredLinesEvent | StoredOfferEvent | StoredSubscriptionEvent | StoredMergeEvent | StoredHouseholdPauseEvent;

/** customer is the customer. */
export interface CustomerEvent {
  type: "customer";
  data: StoredCustomer;
}

/** stored_lines are lines. */
export interface StoredLinesEvent {
  type: "stored_lines";
  data: StoredLines;
}

/** stored_offer is an offer. */
export interface StoredOfferEvent {
  type: "stored_offer";
  data: Offer;
}

/** stored_subscription is a subscription with its events. */
export interface StoredSubscriptionEvent {
  type: "stored_subscription";
  data: StoredSubscription;
}

/** stored_merge is a merge of another id into this customer. */
export interface StoredMergeEvent {
  type: "stored_merge";
  data: StoredMerge;
}

/** stored_household_pause is the pause of all subscriptions of the customer. */
export interface StoredHouseholdPauseEvent {
  type: "stored_household_pause";
  data: HouseholdPause;
}

/**
 * StreamProcessResponse is an event of a pipeline: one started, then one monthly_update for each month, then one
 * completed.
 */
export type StreamProcessEvent = StartedEvent | MonthlyUpdateEvent | CompletedEvent;

/** started is sent when the input is accepted. */
export interface StartedEvent {
  type: "started";
  data: Started;
}

/** monthly_update holds the purchases of a month. */
export interface MonthlyUpdateEvent {
  type: "monthly_update";
  data: MonthlyUpdate;
}

/** completed holds the result; it is the last event. */
export interface CompletedEvent {
  type: "completed";
  data: ProcessResult;
}

/** WhatIfResponse is an event of a replay: one started, then one week for each week, then one completed. */
export type WhatIfEvent = WhatIfStartedEvent | WeekEvent | WhatIfCompletedEvent;

/** started holds the plan that is replayed. */
export interface WhatIfStartedEvent {
  type: "started";
  data: WhatIfStarted;
}

/** week is what happened in a week. */
export interface WeekEvent {
  type: "week";
  data: WhatIfWeek;
}

/** completed holds the totals; it is the last event. */
export interface WhatIfCompletedEvent {
  type: "completed";
  data: WhatIfSummary;
}

/** CreateOfferRequest is an offer to store. */
export interface CreateOfferRequest {
  /**
   * customer_id is the household.
   * @maxLength 128
   */
  customer_id: string;
  /** item is what is offered. */
  item: SubscribedItemInput;
  /**
   * quantity is the number of units of a delivery.
   * @minimum 1
   * @maximum 10000
   */
  quantity: number;
  /** interval is the time between two deliveries. */
  interval: DeliveryIntervalInput;
  /**
   * channel is where it is shown, such as `app` or `email`.
   * @maxLength 64
   */
  channel?: string;
  /**
   * recommendation_id is the id of the answer that it comes from; empty when unknown.
   * @maxLength 128
   */
  recommendation_id?: string;
  /**
   * request_id makes a repeated call safe: a call with the same request_id of this customer is answered as the first
   * one was, failures included. Another request with a known request_id is an error. REST takes it from the header
   * Idempotency-Key; empty for none.
   * @maxLength 255
   */
  request_id?: string;
  /**
   * actor is who causes the change, such as `customer`, `support:anna` or `engine:recharge`; it is kept with each
   * event.
   * @maxLength 128
   */
  actor?: string;
}

/** SubscribedItem is an item as the shop names it. */
export interface SubscribedItemInput {
  /**
   * name is the shop's name of the item.
   * @maxLength 200
   */
  name: string;
  /**
   * category is the shop's own category; empty when unknown.
   * @maxLength 200
   */
  category?: string;
  /**
   * item_id is the shop's own id of the item, such as a SKU.
   * @maxLength 128
   */
  item_id?: string;
  /**
   * variant is the variant or pack size, such as `500 g`.
   * @maxLength 200
   */
  variant?: string;
}

/** DeliveryInterval is the time between two deliveries. */
export interface DeliveryIntervalInput {
  /** unit is the unit. */
  unit: IntervalUnit;
  /**
   * count is the number of units.
   * @minimum 1
   * @maximum 366
   */
  count: number;
}

/** CreateOfferResponse is the stored offer. */
export interface CreateOfferResponse {
  /** offer is the offer. */
  offer: Offer;
}

/** Offer is a subscription that was shown to a customer. */
export interface Offer {
  /** offer_id is its id. */
  offer_id: string;
  /** customer_id is the household. */
  customer_id: string;
  /** item is what was offered. */
  item: SubscribedItem;
  /** quantity is the number of units of a delivery. */
  quantity: number;
  /** interval is the time between two deliveries. */
  interval: DeliveryInterval;
  /** channel is where it was shown, such as `app` or `email`. */
  channel: string;
  /** recommendation_id is the id of the answer that it comes from. */
  recommendation_id: string;
  /** shown_at is when it was shown, ISO 8601 in UTC. */
  shown_at: string;
  /** subscription_id is the subscription that accepted it; empty if none did. */
  subscription_id: string;
}

/** SubscribedItem is an item as the shop names it. */
export interface SubscribedItem {
  /** name is the shop's name of the item. */
  name: string;
  /** category is the shop's own category; empty when unknown. */
  category: string;
  /** item_id is the shop's own id of the item, such as a SKU. */
  item_id: string;
  /** variant is the variant or pack size, such as `500 g`. */
  variant: string;
}

/** DeliveryInterval is the time between two deliveries. */
export interface DeliveryInterval {
  /** unit is the unit. */
  unit: IntervalUnit;
  /** count is the number of units. */
  count: number;
}

/** ListOffersRequest names a customer. */
export interface ListOffersRequest {
  /**
   * customer_id is the household.
   * @maxLength 128
   */
  customer_id: string;
  /**
   * page_size is the largest number to return; 0 means 100.
   * @minimum 0
   * @maximum 1000
   */
  page_size?: number;
  /**
   * page_token is next_page_token of the previous page; empty for the first page.
   * @maxLength 512
   */
  page_token?: string;
}

/** ListOffersResponse holds a page of offers. */
export interface ListOffersResponse {
  /** offers are the offers. */
  offers: Offer[];
  /** next_page_token is the token of the next page; empty after the last one. */
  next_page_token: string;
}

/** CreateSubscriptionRequest holds the terms of a subscription. */
export interface CreateSubscriptionRequest {
  /**
   * customer_id is the household.
   * @maxLength 128
   */
  customer_id: string;
  /**
   * subscription_id is the id of the subscription, unique within the tenant, such as that of another system; when
   * empty, one is chosen.
   * @maxLength 128
   */
  subscription_id?: string;
  /**
   * offer_id is the offer that the customer accepts; empty if there was none.
   * @maxLength 128
   */
  offer_id?: string;
  /** item is what is delivered; it is required without an offer. */
  item?: SubscribedItemInput;
  /**
   * quantity is the number of units of a delivery; when absent, that of the offer, or 1.
   * @minimum 1
   * @maximum 10000
   */
  quantity?: number;
  /** interval is the time between two deliveries; it is required without an offer. */
  interval?: DeliveryIntervalInput;
  /**
   * anchor_date is the day of the first delivery, ISO 8601, at most 366 days from now. The n-th delivery is n − 1
   * intervals later; in a month without that day, on its last day.
   */
  anchor_date: string;
  /**
   * cut_off_days is how many days before the day of a delivery changes end; 0 means when its day begins.
   * @minimum 0
   * @maximum 30
   */
  cut_off_days?: number;
  /**
   * time_zone is the shop's time zone, an IANA name such as `Europe/Berlin`; UTC when empty.
   * @maxLength 64
   */
  time_zone?: string;
  /** expires_on is the day, ISO 8601, on which it expires; empty if it does not. */
  expires_on?: string;
  /**
   * recommendation_id is the id of the answer that it follows; when empty, that of the offer.
   * @maxLength 128
   */
  recommendation_id?: string;
  /**
   * consent is the text that the customer agrees to; it is kept and exported.
   * @maxLength 2000
   */
  consent?: string;
  /**
   * request_id makes a repeated call safe: a call with the same request_id of this customer is answered as the first
   * one was, failures included. Another request with a known request_id is an error. REST takes it from the header
   * Idempotency-Key; empty for none.
   * @maxLength 255
   */
  request_id?: string;
  /**
   * actor is who causes the change, such as `customer`, `support:anna` or `engine:recharge`; it is kept with each
   * event.
   * @maxLength 128
   */
  actor?: string;
}

/** CreateSubscriptionResponse is the new subscription. */
export interface CreateSubscriptionResponse {
  /** subscription is the subscription. */
  subscription: CustomerSubscription;
}

/** CustomerSubscription is a subscription as it is today. */
export interface CustomerSubscription {
  /** subscription_id is its id. */
  subscription_id: string;
  /** customer_id is the household. */
  customer_id: string;
  /** status is whether it delivers. */
  status: SubscriptionStatus;
  /** item is what is delivered. */
  item: SubscribedItem;
  /** quantity is the number of units of a delivery. */
  quantity: number;
  /** interval is the time between two deliveries. */
  interval: DeliveryInterval;
  /** interval_days is the interval in days; of months, their mean length. */
  interval_days: number;
  /** anchor_date is the day, ISO 8601, from which all days of the interval are counted. */
  anchor_date: string;
  /** cut_off_days is how many days before the day of a delivery changes end; 0 means when its day begins. */
  cut_off_days: number;
  /** time_zone is the shop's time zone, in which days begin. */
  time_zone: string;
  /** pause_until is the day, ISO 8601, on which a pause ends; empty if it has no end. */
  pause_until: string;
  /** cancel_on is the first day, ISO 8601, without deliveries: announced, or that of the cancellation. */
  cancel_on: string;
  /** expires_on is the day, ISO 8601, on which it expires; empty if it does not. */
  expires_on: string;
  /** cancellation is why it was or will be cancelled. */
  cancellation: Cancellation;
  /** next_deliveries are the next deliveries, skipped ones included: at most 6 of the next 84 days. */
  next_deliveries: SubscriptionDelivery[];
  /** offer_id is the offer that it accepted; empty if there was none. */
  offer_id: string;
  /** recommendation_id is the id of the answer that it follows; empty when unknown. */
  recommendation_id: string;
  /** consent is the text that the customer agreed to. */
  consent: string;
  /** created_at is when it began, ISO 8601 in UTC. */
  created_at: string;
  /** changed_at is when it last changed, ISO 8601 in UTC. */
  changed_at: string;
  /** version is the number of its events. */
  version: number;
  /** etag identifies this version for the next change. */
  etag: string;
  /** household_pause says that it is paused with all subscriptions of the customer, by PauseSubscriptions. */
  household_pause: boolean;
  /** mirror is what its engine says of it, if one keeps it; absent if it is kept here. */
  mirror?: SubscriptionMirror;
}

/** Cancellation is why a customer cancels. */
export interface Cancellation {
  /**
   * reason is one word for statistics. Known ones are `too_much`, `too_expensive`, `not_needed`, `quality`,
   * `delivery`, `moved` and `other`; any other may be sent.
   */
  reason: string;
  /** feedback is what would have kept the customer, such as `longer_interval`. */
  feedback: string;
  /** comment is what the customer wrote. It is personal data, and is erased with the customer. */
  comment: string;
}

/** SubscriptionDelivery is one delivery of a subscription. */
export interface SubscriptionDelivery {
  /** sequence counts the deliveries of the subscription from 1. */
  sequence: number;
  /** status is how far it has come. */
  status: DeliveryStatus;
  /** date is its day, ISO 8601. */
  date: string;
  /** scheduled_date is its day by the interval; it differs from date if the delivery was moved. */
  scheduled_date: string;
  /** cut_off_at is when changes end, ISO 8601 in UTC. */
  cut_off_at: string;
  /** item is what is delivered. */
  item: SubscribedItem;
  /** quantity is the number of units. */
  quantity: number;
  /** delivered_quantity is the number of units that arrived; absent before. */
  delivered_quantity?: number;
  /** returned_quantity is the number of units that came back. */
  returned_quantity: number;
  /** out_of_stock says that the item was out of stock. */
  out_of_stock: boolean;
  /** reason is why it was skipped or failed; `paused` for a pause. */
  reason: string;
  /** order_id is the id of its order in the engine of a mirrored subscription; empty when unknown. */
  order_id: string;
}

/** SubscriptionMirror is what an engine says of a subscription that it keeps. */
export interface SubscriptionMirror {
  /** engine is the engine. A subscription is changed there, and its event changes it here. */
  engine: SubscriptionEngine;
  /** external_id is the id of the subscription in the engine. */
  external_id: string;
  /**
   * document is the latest record of the engine, JSON as it sent it. It may hold personal data, and is erased with the
   * customer.
   */
  document: string;
}

/** GetSubscriptionRequest names a subscription. */
export interface GetSubscriptionRequest {
  /**
   * customer_id is the household.
   * @maxLength 128
   */
  customer_id: string;
  /**
   * subscription_id is the subscription.
   * @maxLength 128
   */
  subscription_id: string;
}

/** GetSubscriptionResponse is the subscription. */
export interface GetSubscriptionResponse {
  /** subscription is the subscription. */
  subscription: CustomerSubscription;
}

/** ListSubscriptionsRequest names a customer. */
export interface ListSubscriptionsRequest {
  /**
   * customer_id is the household.
   * @maxLength 128
   */
  customer_id: string;
  /**
   * page_size is the largest number to return; 0 means 100.
   * @minimum 0
   * @maximum 1000
   */
  page_size?: number;
  /**
   * page_token is next_page_token of the previous page; empty for the first page.
   * @maxLength 512
   */
  page_token?: string;
}

/** ListSubscriptionsResponse holds a page of subscriptions. */
export interface ListSubscriptionsResponse {
  /** subscriptions are the subscriptions. */
  subscriptions: CustomerSubscription[];
  /** next_page_token is the token of the next page; empty after the last one. */
  next_page_token: string;
}

/** ChangeSubscriptionRequest is one change of a subscription. */
export interface ChangeSubscriptionRequest {
  /**
   * customer_id is the household.
   * @maxLength 128
   */
  customer_id: string;
  /**
   * subscription_id is the subscription.
   * @maxLength 128
   */
  subscription_id: string;
  /**
   * request_id makes a repeated call safe: a call with the same request_id of this customer is answered as the first
   * one was, failures included. Another request with a known request_id is an error. REST takes it from the header
   * Idempotency-Key; empty for none.
   * @maxLength 255
   */
  request_id?: string;
  /**
   * actor is who causes the change, such as `customer`, `support:anna` or `engine:recharge`; it is kept with each
   * event.
   * @maxLength 128
   */
  actor?: string;
  /**
   * etag is that of the subscription as the caller knows it: when it has changed since, the call fails and changes
   * nothing. REST takes it from the header If-Match; empty to change it in any case.
   * @maxLength 64
   */
  etag?: string;
  /** skip leaves out a delivery. */
  skip?: SkipDeliveryInput;
  /** restore undoes a skip or a move. */
  restore?: RestoreDeliveryInput;
  /** move delivers on another day. */
  move?: MoveDeliveryInput;
  /** send_now sends the next delivery today. */
  send_now?: SendNowInput;
  /** pause delivers nothing for a while. */
  pause?: PauseSubscriptionInput;
  /** resume ends a pause. */
  resume?: ResumeSubscriptionInput;
  /** reactivate begins again. */
  reactivate?: ReactivateSubscriptionInput;
  /** change_interval delivers more or less often. */
  change_interval?: ChangeIntervalInput;
  /** change_quantity delivers another quantity. */
  change_quantity?: ChangeQuantityInput;
  /** change_item delivers another item. */
  change_item?: ChangeItemInput;
  /** cancel ends it. */
  cancel?: CancelSubscriptionInput;
}

/** SkipDelivery leaves out a delivery; the later ones keep their days. */
export interface SkipDeliveryInput {
  /**
   * sequence is the delivery; 0 means the next one that can be changed.
   * @minimum 0
   * @maximum 100000
   */
  sequence?: number;
  /**
   * reason is one word for statistics, such as `too_much`.
   * @maxLength 64
   */
  reason?: string;
}

/** RestoreDelivery undoes the skip or the move of a delivery. */
export interface RestoreDeliveryInput {
  /**
   * sequence is the delivery.
   * @minimum 1
   * @maximum 100000
   */
  sequence: number;
}

/** MoveDelivery delivers on another day; the later ones keep their days. */
export interface MoveDeliveryInput {
  /**
   * sequence is the delivery; 0 means the next one that can be changed.
   * @minimum 0
   * @maximum 100000
   */
  sequence?: number;
  /** date is the new day, ISO 8601, before its cut-off and at most 366 days from now. */
  date: string;
}

/** SendNow locks the next delivery for today; the later ones keep their days. */
export type SendNowInput = Record<string, never>;

/**
 * PauseSubscription delivers nothing for a while. Deliveries on days of the pause are skipped when it ends; those past
 * their cut-off still arrive.
 */
export interface PauseSubscriptionInput {
  /** until is the day, ISO 8601, on which deliveries go on by themselves; empty for a pause without end. */
  until?: string;
}

/** ResumeSubscription ends a pause; deliveries go on with the next day of the interval before its cut-off. */
export type ResumeSubscriptionInput = Record<string, never>;

/** ReactivateSubscription takes back an announced cancellation, or begins a cancelled or expired subscription again. */
export interface ReactivateSubscriptionInput {
  /** next_date is the day of the next delivery, ISO 8601; when empty, the next day of the interval before its cut-off. */
  next_date?: string;
}

/**
 * ChangeInterval delivers more or less often. Skipped and moved deliveries stay so, and moved ones keep their days. The
 * next delivery that is neither keeps its day, unless next_date is sent, and the later ones follow it.
 */
export interface ChangeIntervalInput {
  /** interval is the new interval. */
  interval: DeliveryIntervalInput;
  /** next_date is the day, ISO 8601, of the next delivery that is neither skipped nor moved; empty to keep it. */
  next_date?: string;
}

/**
 * ChangeQuantity delivers another quantity, from the next delivery on that can be changed. What is past its cut-off keeps
 * its quantity.
 */
export interface ChangeQuantityInput {
  /**
   * quantity is the number of units.
   * @minimum 1
   * @maximum 10000
   */
  quantity: number;
}

/** ChangeItem delivers another item, from the next delivery on that can be changed. What is past its cut-off keeps its item. */
export interface ChangeItemInput {
  /** item is the item. */
  item: SubscribedItemInput;
}

/** CancelSubscription ends a subscription. */
export interface CancelSubscriptionInput {
  /** cancel_on is the first day, ISO 8601, without deliveries; today when empty. */
  cancel_on?: string;
  /** cancellation is why. */
  cancellation?: CancellationInput;
}

/** Cancellation is why a customer cancels. */
export interface CancellationInput {
  /**
   * reason is one word for statistics. Known ones are `too_much`, `too_expensive`, `not_needed`, `quality`,
   * `delivery`, `moved` and `other`; any other may be sent.
   * @maxLength 64
   */
  reason?: string;
  /**
   * feedback is what would have kept the customer, such as `longer_interval`.
   * @maxLength 64
   */
  feedback?: string;
  /**
   * comment is what the customer wrote. It is personal data, and is erased with the customer.
   * @maxLength 2000
   */
  comment?: string;
}

/** ChangeSubscriptionResponse is the subscription after the change. */
export interface ChangeSubscriptionResponse {
  /** subscription is the subscription. */
  subscription: CustomerSubscription;
  /** events are the events of this call; empty if it changed nothing. */
  events: SubscriptionEvent[];
}

/**
 * SubscriptionEvent is something that happened to a subscription. Its subject is customer_id and subscription_id of the
 * call.
 */
export interface SubscriptionEvent {
  /** number counts the events of the subscription from 1, without gaps. */
  number: number;
  /**
   * type is its name as a CloudEvent: `com.pantree.subscription.` and `created`, `paused`, `resumed`, `reactivated`,
   * `interval_changed`, `quantity_changed`, `item_changed`, `cancellation_scheduled`, `cancelled`, `expired` or
   * `mirrored` (its engine has a new record of it); or `com.pantree.delivery.` and `skipped`, `restored`, `moved`, `locked`,
   * `sent`, `delivered`, `failed`, `out_of_stock`, `substituted`, `returned` or `ordered` (its order has an id in the engine).
   */
  type: string;
  /**
   * occurred_at is when it was stored, ISO 8601 in UTC; if the test clock was advanced past the day that came, when that
   * day began.
   */
  occurred_at: string;
  /** actor is who caused it; `schedule` if a day came. */
  actor: string;
  /** data is what changed. */
  data: EventData;
}

/** EventData is what changed. Fields that the type of the event does not need are empty. */
export interface EventData {
  /**
   * sequence is the delivery; of another interval, item or quantity, the first one for which it holds. Events of an item
   * or a quantity that were stored by an earlier version have 0.
   */
  sequence: number;
  /** date is the day, ISO 8601: of a delivery, or from which on the change holds. */
  date: string;
  /** until is the day, ISO 8601, on which a pause ends; empty if it has no end. */
  until: string;
  /** skipped_sequences are the deliveries that a pause prevented, of an event that ends the pause. */
  skipped_sequences: number[];
  /** quantity is the number of units. */
  quantity: number;
  /** item is the item. */
  item: SubscribedItem;
  /** interval is the interval. */
  interval: DeliveryInterval;
  /** reason is why a delivery was skipped or failed. */
  reason: string;
  /** cancellation is why it is cancelled. */
  cancellation: Cancellation;
  /** offer_id is the offer that was accepted. */
  offer_id: string;
  /** recommendation_id is the id of the answer that the subscription follows. */
  recommendation_id: string;
  /** household_pause says that a pause is one of all subscriptions of the customer. */
  household_pause: boolean;
  /** mirror is the engine that keeps the subscription, and its id there, without the document. */
  mirror: SubscriptionMirror;
  /** order_id is the id of the order of a delivery in the engine. */
  order_id: string;
}

/** PauseSubscriptionsRequest is a pause of all subscriptions of a customer. */
export interface PauseSubscriptionsRequest {
  /**
   * customer_id is the household.
   * @maxLength 128
   */
  customer_id: string;
  /**
   * request_id makes a repeated call safe: a call with the same request_id of this customer is answered as the first
   * one was. Another request with a known request_id is an error. REST takes it from the header Idempotency-Key; empty
   * for none.
   * @maxLength 255
   */
  request_id?: string;
  /**
   * actor is who causes the change, such as `customer`, `support:anna` or `engine:recharge`; it is kept with each
   * event.
   * @maxLength 128
   */
  actor?: string;
  /**
   * until is the day, ISO 8601, on which deliveries go on by themselves; empty for a pause without end. It must be after
   * today in the time zone of each subscription.
   */
  until?: string;
}

/** PauseSubscriptionsResponse holds what was paused. */
export interface PauseSubscriptionsResponse {
  /** changed are the subscriptions that this call changed, ordered by subscription_id. */
  changed: ChangedSubscription[];
}

/** ChangedSubscription is a subscription after a change of all subscriptions of a customer. */
export interface ChangedSubscription {
  /** subscription is the subscription. */
  subscription: CustomerSubscription;
  /** events are its events of this call. */
  events: SubscriptionEvent[];
}

/** ResumeSubscriptionsRequest ends a pause of all subscriptions of a customer. */
export interface ResumeSubscriptionsRequest {
  /**
   * customer_id is the household.
   * @maxLength 128
   */
  customer_id: string;
  /**
   * request_id makes a repeated call safe: a call with the same request_id of this customer is answered as the first
   * one was. Another request with a known request_id is an error. REST takes it from the header Idempotency-Key; empty
   * for none.
   * @maxLength 255
   */
  request_id?: string;
  /**
   * actor is who causes the change, such as `customer`, `support:anna` or `engine:recharge`; it is kept with each
   * event.
   * @maxLength 128
   */
  actor?: string;
}

/** ResumeSubscriptionsResponse holds what was resumed. */
export interface ResumeSubscriptionsResponse {
  /**
   * changed are the subscriptions that this call changed, ordered by subscription_id. One of them is still paused if it
   * was paused alone before, and that pause has not ended.
   */
  changed: ChangedSubscription[];
}

/** RecordDeliveryRequest is a report about a delivery. */
export interface RecordDeliveryRequest {
  /**
   * customer_id is the household.
   * @maxLength 128
   */
  customer_id: string;
  /**
   * subscription_id is the subscription.
   * @maxLength 128
   */
  subscription_id: string;
  /**
   * request_id makes a repeated call safe: a call with the same request_id of this customer is answered as the first
   * one was, failures included. Another request with a known request_id is an error. REST takes it from the header
   * Idempotency-Key; empty for none.
   * @maxLength 255
   */
  request_id?: string;
  /**
   * actor is who causes the change, such as `customer`, `support:anna` or `engine:recharge`; it is kept with each
   * event.
   * @maxLength 128
   */
  actor?: string;
  /**
   * etag is that of the subscription as the caller knows it: when it has changed since, the call fails and changes
   * nothing. REST takes it from the header If-Match; empty to change it in any case.
   * @maxLength 64
   */
  etag?: string;
  /**
   * sequence is the delivery.
   * @minimum 1
   * @maximum 100000
   */
  sequence: number;
  /** report is what happened. */
  report: DeliveryReport;
  /**
   * quantity is the number of units that arrived, all when absent, or that came back, for which it is required.
   * @minimum 1
   * @maximum 10000
   */
  quantity?: number;
  /** item is the substitute; it is required for one. */
  item?: SubscribedItemInput;
  /**
   * reason is why the delivery failed, one word for statistics.
   * @maxLength 64
   */
  reason?: string;
}

/** RecordDeliveryResponse is the subscription after the report. */
export interface RecordDeliveryResponse {
  /** subscription is the subscription. */
  subscription: CustomerSubscription;
  /** events are the events of this call; empty if it changed nothing. */
  events: SubscriptionEvent[];
}

/** ListDeliveriesRequest names a subscription. */
export interface ListDeliveriesRequest {
  /**
   * customer_id is the household.
   * @maxLength 128
   */
  customer_id: string;
  /**
   * subscription_id is the subscription.
   * @maxLength 128
   */
  subscription_id: string;
  /** until is the last day, ISO 8601, at most 366 days from now; when empty, 84 days from now. */
  until?: string;
  /**
   * page_size is the largest number to return; 0 means 100.
   * @minimum 0
   * @maximum 1000
   */
  page_size?: number;
  /**
   * page_token is next_page_token of the previous page; empty for the first page.
   * @maxLength 512
   */
  page_token?: string;
}

/** ListDeliveriesResponse holds a page of deliveries. */
export interface ListDeliveriesResponse {
  /** deliveries are the deliveries. */
  deliveries: SubscriptionDelivery[];
  /** next_page_token is the token of the next page; empty after the last one. */
  next_page_token: string;
}

/** ListEventsRequest names a subscription. */
export interface ListEventsRequest {
  /**
   * customer_id is the household.
   * @maxLength 128
   */
  customer_id: string;
  /**
   * subscription_id is the subscription.
   * @maxLength 128
   */
  subscription_id: string;
  /**
   * page_size is the largest number to return; 0 means 100.
   * @minimum 0
   * @maximum 1000
   */
  page_size?: number;
  /**
   * page_token is next_page_token of the previous page; empty for the first page.
   * @maxLength 512
   */
  page_token?: string;
}

/** ListEventsResponse holds a page of events. */
export interface ListEventsResponse {
  /** events are the events. */
  events: SubscriptionEvent[];
  /** next_page_token is the token of the next page; empty after the last one. */
  next_page_token: string;
}

/** GetTestClockResponse is the time of the tenant. */
export interface GetTestClockResponse {
  /** now is the time, ISO 8601 in UTC. The clock stands still until it is advanced. */
  now: string;
}

/** AdvanceTestClockRequest names a later time. */
export interface AdvanceTestClockRequest {
  /**
   * now is the new time, ISO 8601 with a time zone, such as `2027-01-31T00:00:00Z`, or a day, which means its beginning in
   * UTC. A time before that of the clock is an error; the same time changes nothing.
   * @maxLength 40
   */
  now: string;
}

/** AdvanceTestClockResponse is the time of the tenant, and what happened on the way. */
export interface AdvanceTestClockResponse {
  /** now is the time, ISO 8601 in UTC. */
  now: string;
  /** event_count is the number of events of subscriptions. */
  event_count: number;
  /** removed_line_count is the number of removed lines of purchases, in all revisions. */
  removed_line_count: number;
}

/** AppendPurchasesRequest holds the lines to store. */
export interface AppendPurchasesRequest {
  /**
   * customer_id is the household.
   * @maxLength 128
   */
  customer_id: string;
  /**
   * purchases are the lines, each with its own order_id and line_id.
   * @minItems 1
   * @maxItems 1000
   */
  purchases: readonly PurchaseLineInput[];
  /**
   * new_consent says that a customer who was erased has consented again. Purchases before the day of the erasure are still
   * refused. It has no effect on other customers.
   */
  new_consent?: boolean;
}

/**
 * PurchaseLine is one stored line of a receipt: a `pantree.purchase.v1.Purchase` with its keys. The names are those of
 * Segment's ecommerce events (order_id, quantity, price, variant, category) and of Google Analytics 4 (item_id).
 */
export interface PurchaseLineInput {
  /**
   * order_id is the shop's id of the receipt or order, unique within the tenant.
   * @maxLength 128
   */
  order_id: string;
  /**
   * line_id identifies the line within its order, such as its number.
   * @maxLength 128
   */
  line_id: string;
  /**
   * name is the shop's name of the item.
   * @maxLength 200
   */
  name: string;
  /**
   * category is the shop's own category; empty when unknown.
   * @maxLength 200
   */
  category?: string;
  /**
   * date is the calendar day in the shop's time zone, ISO 8601; at most one day after the day (UTC) on which it is stored,
   * and not so long ago that the tenant no longer keeps it.
   */
  date: string;
  /**
   * quantity is the number of units, of a return the number of units returned; 1 when absent. Goods sold by weight count
   * as one unit.
   * @minimum 1
   * @maximum 10000
   */
  quantity?: number;
  /**
   * price is the shelf price of one unit, before any saving; absent when unknown.
   * @minimum 0
   * @maximum 1000000
   */
  price?: number;
  /**
   * saving is the amount that promotions took off the whole line, at most price × quantity.
   * @minimum 0
   */
  saving?: number;
  /**
   * item_id is the shop's own id of the item, such as a SKU.
   * @maxLength 128
   */
  item_id?: string;
  /**
   * variant is the variant or pack size, such as `500 g`.
   * @maxLength 200
   */
  variant?: string;
  /** currency_code is the ISO 4217 code of the amounts, such as `EUR`; empty when unknown. */
  currency_code?: string;
  /**
   * weight is the weight of the whole line in weight_unit; absent when it was not weighed.
   * @exclusiveMinimum 0
   * @maximum 1000000
   */
  weight?: number;
  /**
   * weight_unit is `g`, `kg`, `oz` or `lb`; empty without a weight.
   * @maxLength 2
   */
  weight_unit?: string;
  /**
   * returned_order_id is the order of the line that this line returns; empty for a purchase.
   * @maxLength 128
   */
  returned_order_id?: string;
  /**
   * returned_line_id is the line of that order; empty for a purchase.
   * @maxLength 128
   */
  returned_line_id?: string;
  /**
   * recommendation_id is the id of the answer that the purchase followed; empty when unknown.
   * @maxLength 128
   */
  recommendation_id?: string;
}

/** AppendPurchasesResponse says what was stored. */
export interface AppendPurchasesResponse {
  /** customer_id is the household; after a merge, the one that it is part of. */
  customer_id: string;
  /** added_count is the number of lines that are new. */
  added_count: number;
  /** duplicate_count is the number of lines that were already stored. */
  duplicate_count: number;
  /** history_version identifies the stored purchases: as long as it is the same, they are. */
  history_version: string;
}

/** CorrectPurchasesRequest holds the corrections. */
export interface CorrectPurchasesRequest {
  /**
   * customer_id is the household.
   * @maxLength 128
   */
  customer_id: string;
  /**
   * purchases replace the stored lines with the same order_id and line_id.
   * @maxItems 1000
   */
  purchases?: readonly PurchaseLineInput[];
  /**
   * removed are the lines to remove, such as those of an order that was canceled.
   * @maxItems 1000
   */
  removed?: readonly LineKeyInput[];
}

/** LineKey names a stored line. */
export interface LineKeyInput {
  /**
   * order_id is the order of the line.
   * @maxLength 128
   */
  order_id: string;
  /**
   * line_id is the line in its order.
   * @maxLength 128
   */
  line_id: string;
}

/** CorrectPurchasesResponse says what was changed. */
export interface CorrectPurchasesResponse {
  /** corrected_count is the number of lines that have other content now. */
  corrected_count: number;
  /** removed_count is the number of lines that are no longer part of the history. */
  removed_count: number;
  /** history_version identifies the stored purchases. */
  history_version: string;
}

/** ListPurchasesRequest names a customer. */
export interface ListPurchasesRequest {
  /**
   * customer_id is the household.
   * @maxLength 128
   */
  customer_id: string;
  /**
   * as_known_on is the day, ISO 8601, whose end (UTC) limits what is read: what was recorded or corrected later is left
   * out, as in a backtest. When empty, everything is read.
   */
  as_known_on?: string;
  /**
   * page_size is the largest number to return; 0 means 100.
   * @minimum 0
   * @maximum 1000
   */
  page_size?: number;
  /**
   * page_token is next_page_token of the previous page; empty for the first page.
   * @maxLength 512
   */
  page_token?: string;
}

/** ListPurchasesResponse holds a page of lines. */
export interface ListPurchasesResponse {
  /** purchases are the lines. */
  purchases: PurchaseLine[];
  /** next_page_token is the token of the next page; empty after the last one. */
  next_page_token: string;
  /** history_version identifies the stored purchases. */
  history_version: string;
}

/**
 * PurchaseLine is one stored line of a receipt: a `pantree.purchase.v1.Purchase` with its keys. The names are those of
 * Segment's ecommerce events (order_id, quantity, price, variant, category) and of Google Analytics 4 (item_id).
 */
export interface PurchaseLine {
  /** order_id is the shop's id of the receipt or order, unique within the tenant. */
  order_id: string;
  /** line_id identifies the line within its order, such as its number. */
  line_id: string;
  /** name is the shop's name of the item. */
  name: string;
  /** category is the shop's own category; empty when unknown. */
  category: string;
  /**
   * date is the calendar day in the shop's time zone, ISO 8601; at most one day after the day (UTC) on which it is stored,
   * and not so long ago that the tenant no longer keeps it.
   */
  date: string;
  /**
   * quantity is the number of units, of a return the number of units returned; 1 when absent. Goods sold by weight count
   * as one unit.
   */
  quantity?: number;
  /** price is the shelf price of one unit, before any saving; absent when unknown. */
  price?: number;
  /** saving is the amount that promotions took off the whole line, at most price × quantity. */
  saving: number;
  /** item_id is the shop's own id of the item, such as a SKU. */
  item_id: string;
  /** variant is the variant or pack size, such as `500 g`. */
  variant: string;
  /** currency_code is the ISO 4217 code of the amounts, such as `EUR`; empty when unknown. */
  currency_code: string;
  /** weight is the weight of the whole line in weight_unit; absent when it was not weighed. */
  weight?: number;
  /** weight_unit is `g`, `kg`, `oz` or `lb`; empty without a weight. */
  weight_unit: string;
  /** returned_order_id is the order of the line that this line returns; empty for a purchase. */
  returned_order_id: string;
  /** returned_line_id is the line of that order; empty for a purchase. */
  returned_line_id: string;
  /** recommendation_id is the id of the answer that the purchase followed; empty when unknown. */
  recommendation_id: string;
}

/** ExportCustomerRequest names a customer. */
export interface ExportCustomerRequest {
  /**
   * customer_id is the household.
   * @maxLength 128
   */
  customer_id: string;
}

/** StoredCustomer is a customer with purchases. */
export interface StoredCustomer {
  /** customer_id is the household. */
  customer_id: string;
  /** line_count is the number of lines, without those that were removed. */
  line_count: number;
  /** history_version identifies the stored purchases. */
  history_version: string;
  /** changed_at is when purchases were last stored or changed, ISO 8601 in UTC. */
  changed_at: string;
  /**
   * merged_into is the customer that this one was merged into, as ListChanged returns it once; its purchases are those of
   * that customer. Empty if it was not merged.
   */
  merged_into: string;
}

/** StoredLines is a batch of lines. */
export interface StoredLines {
  /** lines are revisions of lines; over all batches, they are ordered by day, order_id, line_id and revision. */
  lines: StoredLine[];
}

/** StoredLine is a revision of a line. */
export interface StoredLine {
  /** purchase is the content. */
  purchase: PurchaseLine;
  /** revision counts the revisions of the line from 1. */
  revision: number;
  /** recorded_at is when it was stored, ISO 8601 in UTC. */
  recorded_at: string;
  /** superseded_at is when it was corrected or removed; empty if it is current. */
  superseded_at: string;
}

/** StoredSubscription is a subscription with everything that is stored about it. */
export interface StoredSubscription {
  /** subscription is the subscription as it is today. */
  subscription: CustomerSubscription;
  /** events are its events, ordered by number. */
  events: SubscriptionEvent[];
}

/** StoredMerge is a merge of another id into a customer. */
export interface StoredMerge {
  /** merged_customer_id is the id that was merged. */
  merged_customer_id: string;
  /** customer_id is the customer that it was merged into, which may have been merged into another one since. */
  customer_id: string;
  /** merged_at is when, ISO 8601 in UTC. */
  merged_at: string;
  /** actor is who merged them, as sent. */
  actor: string;
  /** moved_line_count is the number of lines that moved, without those that were removed. */
  moved_line_count: number;
}

/** HouseholdPause is a pause of all subscriptions of a customer, as it was last requested. */
export interface HouseholdPause {
  /** paused_at is when it began, ISO 8601 in UTC. */
  paused_at: string;
  /** until is the day, ISO 8601, on which it ends, perhaps in the past; empty if it has no end. */
  until: string;
}

/** MergeCustomersRequest names two ids of one household. */
export interface MergeCustomersRequest {
  /**
   * customer_id is the customer that remains. Nothing needs to be stored of it.
   * @maxLength 128
   */
  customer_id: string;
  /**
   * merged_customer_id is the id that becomes another name of it.
   * @maxLength 128
   */
  merged_customer_id: string;
  /**
   * actor is who merges them, such as `support:anna`; it is kept with the merge.
   * @maxLength 128
   */
  actor?: string;
}

/** MergeCustomersResponse says what was merged. */
export interface MergeCustomersResponse {
  /** customer_id is the customer that remains; if the one in the request was itself merged, the one that it is part of. */
  customer_id: string;
  /** merged_at is when they were merged, ISO 8601 in UTC; of a repeated call, when they were merged first. */
  merged_at: string;
  /** moved_line_count is the number of lines that this call moved, without those that were removed. */
  moved_line_count: number;
  /** moved_offer_count is the number of offers that this call moved. */
  moved_offer_count: number;
  /** moved_subscription_count is the number of subscriptions that this call moved. Two of the same item remain two. */
  moved_subscription_count: number;
  /** history_version identifies the stored purchases; empty if there are none. */
  history_version: string;
}

/**
 * ProcessInput is a household's first purchase, from which a history is simulated, or its real history. Exactly one of
 * items, history, history_columns and stored_history must be present.
 */
export interface ProcessInput {
  /**
   * customer_id is the household.
   * @maxLength 128
   */
  customer_id: string;
  /**
   * customer_name is a name for people; it is returned unchanged.
   * @maxLength 200
   */
  customer_name?: string;
  /**
   * archetype is the kind of shopper to simulate; empty means the default. It must be empty with a history.
   * @maxLength 128
   */
  archetype?: string;
  /**
   * items are the first purchase, at least one item. Names must differ by more than case and white space.
   * @maxItems 100
   */
  items?: readonly BasketItemInput[];
  /**
   * simulation_months is the number of months to simulate; 6 when absent. It must be absent with a history.
   * @minimum 1
   * @maximum 60
   */
  simulation_months?: number;
  /**
   * history is the real history as rows of at most 8,000 distinct items. A request as a message has at most 4 MiB: rows
   * with long names may need history_columns, which names each item once.
   * @maxItems 20000
   */
  history?: readonly PurchaseInput[];
  /** history_columns is the real history in columnar form. */
  history_columns?: PurchaseColumnsInput;
  /**
   * as_of is the as-of date, ISO 8601. When empty, it is today for a simulation and the day of the latest purchase for
   * a real history. A simulated history ends before that day; a real one may not be later.
   */
  as_of?: string;
  /**
   * seed makes the result reproducible: equal input, as_of and seed have equal results. When absent, one is drawn; the
   * result has it.
   */
  seed?: number;
  /**
   * max_recommendations is the largest number to return; 20 when absent.
   * @minimum 1
   * @maximum 100
   */
  max_recommendations?: number;
  /** include_omitted adds the items that are not recommended, each with the reason. */
  include_omitted?: boolean;
  /** include_cadence_changes adds how late the next purchases can be before the recommended cadences become longer. */
  include_cadence_changes?: boolean;
  /**
   * include_suggestions adds items that similar customers buy regularly and the household does not. The result then
   * depends on which customers are stored, regardless of the seed.
   */
  include_suggestions?: boolean;
  /**
   * currency_code is the ISO 4217 code of all amounts, such as `EUR`. It sets the digits to which amounts are rounded: two
   * when empty.
   */
  currency_code?: string;
  /**
   * stockout_tolerance_ratio trades stockouts against overstock: a low value delivers more to avoid stockouts, a high
   * value delivers less and accepts them. When absent, it is 0.5. A higher value never delivers more units a day.
   * @exclusiveMinimum 0
   * @exclusiveMaximum 1
   */
  stockout_tolerance_ratio?: number;
  /**
   * stored_history takes the purchases that are stored of the customer (HistoryService). Without as_of, the as-of date is
   * then today in UTC, or the day of the latest purchase if that is later; purchases after the as-of date are left out.
   */
  stored_history?: boolean;
  /**
   * as_known_on is the day, ISO 8601, whose end (UTC) limits what is read of the stored purchases: what was recorded or
   * corrected later is left out, as in a backtest. It must be empty without stored_history.
   */
  as_known_on?: string;
  /** include_forecasts adds when the next purchases of the recommended items are expected. */
  include_forecasts?: boolean;
  /** include_analysis adds what Plan needs to plan again without the history. */
  include_analysis?: boolean;
  /** constraints limit the plan; items that they leave out are not recommended. */
  constraints?: PlanConstraintsInput;
}

/** BasketItem is one item of a first purchase. */
export interface BasketItemInput {
  /**
   * name is the shop's name of the item.
   * @maxLength 200
   */
  name: string;
  /**
   * price is the shelf price of one unit in the currency of the request.
   * @minimum 0
   * @maximum 1000000
   */
  price: number;
  /**
   * quantity is the number of units; 1 when absent. Goods sold by weight count as one unit.
   * @minimum 1
   * @maximum 10000
   */
  quantity?: number;
  /**
   * category is the shop's own category; when empty, it is derived from the name.
   * @maxLength 200
   */
  category?: string;
  /**
   * item_id is the shop's own id of the item, such as a SKU; it is returned unchanged. Lines with the same id and variant
   * are the same item, whatever their names.
   * @maxLength 128
   */
  item_id?: string;
  /**
   * variant is the variant or pack size, such as `500 g`; it is returned unchanged. Lines of different variants are
   * different items.
   * @maxLength 200
   */
  variant?: string;
}

/** Purchase is one line of a receipt. */
export interface PurchaseInput {
  /**
   * name is the shop's name of the item.
   * @maxLength 200
   */
  name: string;
  /**
   * category is the shop's own category; when empty, it is derived from the name.
   * @maxLength 200
   */
  category?: string;
  /** date is the calendar day in the shop's time zone, ISO 8601, such as `2026-05-22`. */
  date: string;
  /**
   * quantity is the number of units; 1 when absent. Goods sold by weight count as one unit.
   * @minimum 1
   * @maximum 10000
   */
  quantity?: number;
  /**
   * price is the shelf price of one unit, before any saving; absent when unknown. Without any price in a history, only
   * cadences are computed; its costs and savings are 0 and mean nothing.
   * @minimum 0
   * @maximum 1000000
   */
  price?: number;
  /**
   * saving is the amount that promotions took off the whole line, at most price × quantity.
   * @minimum 0
   */
  saving?: number;
  /**
   * item_id is the shop's own id of the item, such as a SKU; it is returned unchanged. Lines with the same id and variant
   * are the same item, whatever their names.
   * @maxLength 128
   */
  item_id?: string;
  /**
   * variant is the variant or pack size, such as `500 g`; it is returned unchanged. Lines of different variants are
   * different items.
   * @maxLength 200
   */
  variant?: string;
}

/**
 * PurchaseColumns is one household's purchases in columnar form: a dictionary of items and parallel arrays with one
 * element per receipt line. Services exchange it because packed arrays decode several times faster than rows. All
 * arrays of lines have the same length; lines are ordered by day, then as bought.
 */
export interface PurchaseColumnsInput {
  /**
   * item_names is the dictionary of items.
   * @maxItems 8000
   * @items.maxLength 200
   */
  item_names?: readonly string[];
  /**
   * item_categories is parallel to item_names, or empty; an empty string means unknown.
   * @maxItems 8000
   * @items.maxLength 200
   */
  item_categories?: readonly string[];
  /**
   * item_indices holds, for each line, the position of its item in item_names.
   * @maxItems 100000
   * @items.minimum 0
   * @items.exclusiveMaximum 8000
   */
  item_indices?: readonly number[];
  /**
   * days holds, for each line, the calendar day as days since 1970-01-01.
   * @maxItems 100000
   * @items.minimum 0
   * @items.maximum 84005
   */
  days?: readonly number[];
  /**
   * quantities holds, for each line, the number of units.
   * @maxItems 100000
   * @items.minimum 1
   * @items.maximum 10000
   */
  quantities?: readonly number[];
  /**
   * prices holds, for each line, the shelf price of one unit; empty when prices are unknown.
   * @maxItems 100000
   * @items.minimum 0
   * @items.maximum 1000000
   */
  prices?: readonly number[];
  /**
   * savings holds, for each line, the amount that promotions took off the whole line, at most price × quantity; it may be
   * empty when prices is.
   * @maxItems 100000
   * @items.minimum 0
   */
  savings?: readonly number[];
  /**
   * item_ids is parallel to item_names, or empty: the shop's own ids, such as SKUs; an empty string means unknown. They are
   * returned unchanged.
   * @maxItems 8000
   * @items.maxLength 128
   */
  item_ids?: readonly string[];
  /**
   * item_variants is parallel to item_names, or empty: variants or pack sizes; an empty string means none. They are
   * returned unchanged.
   * @maxItems 8000
   * @items.maxLength 200
   */
  item_variants?: readonly string[];
}

/** PlanConstraints are what a household demands of its plan. An absent or empty field demands nothing. */
export interface PlanConstraintsInput {
  /**
   * delivery_weekdays are the days of the week on which deliveries are possible, 1 (Monday) to 7 (Sunday).
   * @maxItems 7
   * @items.minimum 1
   * @items.maximum 7
   */
  delivery_weekdays?: readonly number[];
  /**
   * max_boxes_per_month is the largest number of boxes in any 28 days in a row.
   * @minimum 0
   * @maximum 31
   */
  max_boxes_per_month?: number;
  /**
   * budget_per_month is the most that the boxes of any 28 days in a row may cost.
   * @minimum 0
   * @maximum 1000000000
   */
  budget_per_month?: number;
  /**
   * required_items are the names of items that must be in the plan.
   * @maxItems 500
   * @items.maxLength 200
   */
  required_items?: readonly string[];
  /**
   * excluded_items are the names of items that must not be in the plan.
   * @maxItems 500
   * @items.maxLength 200
   */
  excluded_items?: readonly string[];
  /**
   * min_annual_savings is the least that the plan must save in a year against the prices that the household paid. Items
   * whose paid price is unknown count as saving nothing.
   * @minimum -1000000000
   * @maximum 1000000000
   */
  min_annual_savings?: number;
  /**
   * notice_days is the number of days between as_of and the first delivery, at least; 1 when 0.
   * @minimum 0
   * @maximum 84
   */
  notice_days?: number;
  /**
   * price_limits are the highest prices at which items may be delivered.
   * @maxItems 500
   */
  price_limits?: readonly PriceLimitInput[];
}

/** PriceLimit is the highest price at which an item may be delivered. An item that costs more is left out. */
export interface PriceLimitInput {
  /**
   * name is the item's name.
   * @maxLength 200
   */
  name?: string;
  /**
   * max_unit_price is the highest price of a unit after the discount that the plan reaches.
   * @minimum 0
   * @maximum 1000000
   */
  max_unit_price?: number;
}

/** ProcessResult is the result of a pipeline. */
export interface ProcessResult {
  /** customer_id is the household. */
  customer_id: string;
  /** recommendations are the items worth a subscription. */
  recommendations: RecommendationSet;
  /** recommendation_id identifies this result; equal results for equal input have equal ids. */
  recommendation_id: string;
  /** model is the model that ranked the items. */
  model: Model;
  /** source is where the model ran: `embedded` or `sagemaker`. */
  source: string;
  /** confidence_model is the model that computed the confidence. */
  confidence_model: Model;
  /** as_of is the as-of date, ISO 8601. */
  as_of: string;
  /** seed is the seed of the simulation; 0 for a real history. */
  seed: number;
  /** customer_name is the name from the request. */
  customer_name: string;
  /** archetype is the kind of shopper that was simulated; empty for a real history. */
  archetype: string;
  /** history_summary describes the history behind the result. */
  history_summary: HistorySummary;
  /** warnings list what is missing from the result and why; empty when all parts succeeded. */
  warnings: Warning[];
  /** customer_profile summarizes the household's purchases; absent when the vector part was unavailable. */
  customer_profile?: CustomerProfile;
  /** currency_code is the currency of all amounts, from the request. */
  currency_code: string;
  /**
   * model_facts name the facts about recommended items that come from a language model, in the order of the
   * recommendations; all others come from purchases and the catalog.
   */
  model_facts: ModelFacts[];
  /**
   * history_version identifies the stored purchases that were taken; empty unless stored_history. As long as it is the same,
   * the purchases are.
   */
  history_version: string;
  /** analysis is what Plan needs to plan again; absent unless requested. */
  analysis?: PlanAnalysis;
}

/** RecommendationSet holds the recommended items and details about the others. */
export interface RecommendationSet {
  /** recommendations are ordered best first: by value, then by score. */
  recommendations: Recommendation[];
  /** omitted are the items that are not recommended, ordered by name; empty unless requested. */
  omitted: OmittedItem[];
  /** related are complements and substitutes of the recommended items, in the order of the recommendations. */
  related: RelatedItems[];
  /** plan is the calendar of all recommendations, with its cost and saving. */
  plan: SubscriptionPlan;
  /**
   * cadence_changes are how late the next purchases can be before cadences become longer, for the first 20
   * recommendations, in their order; empty unless requested. The intervals follow from purchases alone.
   */
  cadence_changes: CadenceChange[];
  /**
   * suggestions are items that similar customers buy regularly and the household does not, best first; empty unless
   * requested. They are not offers to subscribe.
   */
  suggestions: Suggestion[];
  /** near_misses are up to three items closest to being recommended, with the reasons why they are not. */
  near_misses: OmittedItem[];
  /**
   * forecasts are when the next purchases of the recommended items are expected, in the order of the recommendations;
   * empty unless requested.
   */
  forecasts: ItemForecast[];
  /** binding_constraints are the constraints that cannot be met, with what would fit; empty when all are met. */
  binding_constraints: BindingConstraint[];
  /**
   * plain_names say in words for shoppers what names in the capitals of receipts mean, for the recommended items whose
   * plain name is known, in the order of the recommendations.
   */
  plain_names: PlainName[];
}

/** Recommendation is an item worth a subscription. */
export interface Recommendation {
  /** name is the item's name. */
  name: string;
  /** confidence, 0 to 100, is the confidence that the household buys the item again soon. */
  confidence: number;
  /** count is the number of distinct days on which the item was bought. */
  count: number;
  /** avg_interval is the mean number of days between purchases, rounded to a tenth. */
  avg_interval: number;
  /** subscription is the offer. */
  subscription: Subscription;
  /** category is the item's category; empty when unknown. */
  category: string;
  /** score orders the recommendations of the same value, 0 to 1; higher is better. */
  score: number;
  /** last_date is the day of the latest purchase, ISO 8601. */
  last_date: string;
  /** next_due_date is when the item is expected to be needed again, ISO 8601; never before as_of. */
  next_due_date: string;
  /** reasons explain the recommendation, most important first. */
  reasons: Reason[];
  /** cadence_probability is the probability of a purchase within 1.5 × the cadence after as_of, 0 to 1. */
  cadence_probability: number;
  /** item_id is the shop's own id of the item, as in the purchases; the pipeline sets it. */
  item_id: string;
  /** variant is the variant or pack size, as in the purchases; the pipeline sets it. */
  variant: string;
}

/** Subscription is an offer of regular deliveries of an item. */
export interface Subscription {
  /**
   * frequency is the name of the cadence, a step of the ladder. By default: weekly, biweekly, every_3_weeks, monthly,
   * every_5_weeks, every_6_weeks, bimonthly, quarterly, every_16_weeks or every_24_weeks.
   */
  frequency: string;
  /**
   * interval_days is the number of days between deliveries, a step of the ladder. By default: 7, 14, 21, 28, 35, 42, 56,
   * 84, 112 or 168.
   */
  interval_days: number;
  /**
   * estimated_annual_savings is price × quantity × discount × 365 / interval_days, rounded down to a cent, against the
   * shelf price. Households that buy on promotion may save less.
   */
  estimated_annual_savings: number;
  /** discount_ratio is the subscription's discount on the shelf price, 0 to 1. */
  discount_ratio: number;
  /**
   * quantity is the number of units per delivery: what the household usually buys at once, unless another number comes
   * nearer to what it uses.
   */
  quantity: number;
  /** annual_cost is the cost of a year's deliveries at discount_ratio_in_plan, rounded up to a cent. */
  annual_cost: number;
  /**
   * savings_vs_paid is the saving against the prices that this household paid, at discount_ratio_in_plan; absent when
   * they are unknown, or when they don't support a claim of a saving.
   */
  savings_vs_paid?: SavingsVsPaid;
  /**
   * tiers are the costs and savings at each discount of the shop, by number of items in a delivery, fewest first. The
   * first tier is that of discount_ratio and estimated_annual_savings.
   */
  tiers: PriceTier[];
  /**
   * first_delivery_date is the day of the first delivery in the plan, ISO 8601, after as_of. It is near the best day for
   * the item alone, and on a common day with other items.
   */
  first_delivery_date: string;
  /**
   * last_delivery_date is the last day of the season of seasonal goods, ISO 8601, after which deliveries end; empty for
   * all others.
   */
  last_delivery_date: string;
  /**
   * units_per_pack is the number of units of the household's smallest pack in one pack that is delivered; 1 when it buys
   * packs of one size.
   */
  units_per_pack: number;
  /**
   * delivered_per_used_ratio is the number of units delivered over the number that the household is expected to use: 1
   * when deliveries cover the use, less when they cover a part of it.
   */
  delivered_per_used_ratio: number;
  /**
   * value is what the subscription is worth at discount_ratio_in_plan, against the prices that the household paid:
   * `SAVES` when they support a claim that it costs less, `CONVENIENCE` when it costs more, and `SAME` otherwise, and
   * within 2 %. It is empty when prices are unknown.
   */
  value: string;
  /** discount_ratio_in_plan is the mean discount over the item's deliveries of a year, 0 to 1. */
  discount_ratio_in_plan: number;
  /**
   * annual_savings_in_plan is what a year's deliveries would cost at the prices that the household paid, less
   * annual_cost; below 0 when the subscription costs more; absent when the paid price is unknown. The plan adds it up.
   */
  annual_savings_in_plan?: number;
  /** unit_price is the shelf price of a unit that all costs are based on; 0 when unknown. */
  unit_price: number;
  /** price_date is the day of the purchase that unit_price is from, ISO 8601. */
  price_date: string;
  /** next_charge is the price of the first delivery, on first_delivery_date. */
  next_charge: number;
  /**
   * overstock_ratio is the share of the deliveries within 84 days, or one interval if that is longer, that are expected to
   * arrive before the household needs them.
   */
  overstock_ratio: number;
  /** stockout_probability is the probability of at least one stockout within that time. */
  stockout_probability: number;
  /**
   * expected_units_on_hand is the mean number of units that the household is expected to have at home while the need
   * lasts: quantity × (delivered_per_used_ratio / 2 + days that a delivery arrives early / interval_days); 0 when
   * unknown.
   */
  expected_units_on_hand: number;
  /** max_unit_price is the price limit that the request set for the item, which no delivery exceeds; absent without one. */
  max_unit_price?: number;
}

/**
 * SavingsVsPaid is the annual saving of a subscription against the prices that the household has paid, promotions
 * included. Amounts are rounded down to a cent and below 0 when the subscription costs more.
 */
export interface SavingsVsPaid {
  /** expected_annual_savings is (mean paid price − subscription's price) × units in a year. */
  expected_annual_savings: number;
  /** low_annual_savings is the lower end of the range for 80 % of years, given the variation of paid prices. */
  low_annual_savings: number;
  /** high_annual_savings is the upper end of the range. */
  high_annual_savings: number;
  /** paid_unit_price is the mean price that the household paid for a unit. */
  paid_unit_price: number;
  /** subscription_unit_price is the latest shelf price less the discount, rounded up to a cent. */
  subscription_unit_price: number;
  /** pays_less_today is whether the household pays less today than with the subscription. */
  pays_less_today: boolean;
}

/** PriceTier is the cost and saving of a subscription by number of items in a delivery. */
export interface PriceTier {
  /** min_items_per_delivery is the smallest number of items in a delivery with this discount. */
  min_items_per_delivery: number;
  /** discount_ratio is the discount on the shelf price, 0 to 1. */
  discount_ratio: number;
  /** annual_cost is as in Subscription. */
  annual_cost: number;
  /** estimated_annual_savings is as in Subscription. */
  estimated_annual_savings: number;
  /** savings_vs_paid is as in Subscription. */
  savings_vs_paid: SavingsVsPaid;
}

/** Reason is a reason for a result, with the numbers behind it. */
export interface Reason {
  /** code is stable and meant for programs, such as `BOUGHT_REGULARLY`. */
  code: string;
  /** text is the reason for people. */
  text: string;
  /** values are the numbers behind it, by name. */
  values: Record<string, number>;
  /** other_item is another item that the reason refers to; usually empty. */
  other_item: string;
  /** goods_type is the type of goods whose rules the reason follows from, such as `tobacco`; usually empty. */
  goods_type: string;
}

/** OmittedItem is an item that is not recommended. */
export interface OmittedItem {
  /** name is the item's name. */
  name: string;
  /** reason is why it is not recommended, with the numbers behind it. */
  reason: Reason;
  /** item_id is the shop's own id of the item, as in the purchases; the pipeline sets it. */
  item_id: string;
  /** variant is the variant or pack size, as in the purchases; the pipeline sets it. */
  variant: string;
}

/** RelatedItems are the complements and substitutes of a recommended item. */
export interface RelatedItems {
  /** name is the recommended item's name. */
  name: string;
  /** items are the related items, best first. */
  items: RelatedItem[];
  /** source is where the related items come from: `rules` or `nim`. */
  source: string;
}

/** RelatedItem is a complement or substitute of an item. */
export interface RelatedItem {
  /** name is the related item's name. */
  name: string;
  /** relation is how the two are related. */
  relation: Relation;
}

/**
 * SubscriptionPlan is the calendar of deliveries, with the cost and saving of a year. Discounts grow with the number of
 * items in a delivery, so items are delivered on common days. Amounts of a year are sums over its subscriptions, at the
 * discounts that the deliveries reach, and add up to a cent.
 */
export interface SubscriptionPlan {
  /** item_count is the number of items. */
  item_count: number;
  /** annual_cost is the cost of the deliveries after the discount: the sum of annual_cost over the subscriptions. */
  annual_cost: number;
  /** estimated_annual_savings is the saving against shelf prices, rounded down to a cent. */
  estimated_annual_savings: number;
  /**
   * annual_savings_vs_paid is the saving against the prices that the household paid, promotions included: annual_paid
   * less annual_cost; below 0 when the subscriptions cost more; absent when a paid price is unknown.
   */
  annual_savings_vs_paid?: number;
  /** best_discount_ratio is the share of a year's item deliveries that get the largest discount, 0 to 1. */
  best_discount_ratio: number;
  /** deliveries are the boxes of the 84 days after as_of, earliest first. */
  deliveries: PlannedDelivery[];
  /** end_date is the last day of the calendar, ISO 8601: 84 days after as_of. */
  end_date: string;
  /** annual_paid is what a year's deliveries would cost at the prices that the household paid; absent when one is unknown. */
  annual_paid?: number;
  /** boxes_per_month is the mean number of boxes in 28 days over a year. */
  boxes_per_month: number;
  /**
   * objective is the cost that planning minimizes, of a year: money, early and late deliveries, boxes, and what the items
   * left out cost when bought. A constraint never lowers it, apart from the gap of the search.
   */
  objective: number;
  /** budget_per_month is the budget that the request demanded and the plan keeps; absent without one. */
  budget_per_month?: number;
  /** max_month_cost is the price of the boxes of the most expensive 28 days in a row, in a year. */
  max_month_cost: number;
}

/** PlannedDelivery is a box of the calendar. */
export interface PlannedDelivery {
  /** date is the day of the delivery, ISO 8601. */
  date: string;
  /** items are its items, by name. */
  items: PlannedItem[];
  /** discount_ratio is the discount that its number of items reaches, 0 to 1. */
  discount_ratio: number;
  /** price is the sum of its items' prices. */
  price: number;
  /**
   * savings_vs_paid is what it saves against the prices that the household paid: the sum over its items; below 0 when it
   * costs more; absent when a paid price is unknown.
   */
  savings_vs_paid?: number;
}

/** PlannedItem is an item of a box. */
export interface PlannedItem {
  /** name is the item's name. */
  name: string;
  /** quantity is the number of units. */
  quantity: number;
  /** price is the price of the units after the discount, rounded up to a cent. */
  price: number;
  /**
   * savings_vs_paid is what the units save against the price that the household paid, rounded down to a cent; absent when
   * it is unknown.
   */
  savings_vs_paid?: number;
  /** item_id is the shop's own id of the item, as in the purchases; the pipeline sets it. */
  item_id: string;
  /** variant is the variant or pack size, as in the purchases; the pipeline sets it. */
  variant: string;
}

/** CadenceChange is how an item's recommended interval changes with a later next purchase. */
export interface CadenceChange {
  /** name is the item's name. */
  name: string;
  /** recommended_interval_days is the recommended interval as of now. */
  recommended_interval_days: number;
  /** after_date is the last day, ISO 8601, on which a next purchase does not make the interval longer. */
  after_date: string;
  /** interval_days is the recommended interval after a purchase on the next day, a longer step of the ladder. */
  interval_days: number;
  /** text is the change for people. */
  text: string;
}

/** Suggestion is an item that the household may like to try, or try again. It has too few purchases for a cadence. */
export interface Suggestion {
  /** name is the item's name. */
  name: string;
  /** category is the item's category; empty when unknown. */
  category: string;
  /**
   * score orders the suggestions, 0 to 1: the lower bound, at a confidence of 90 %, of the share of similar customers
   * who buy it regularly.
   */
  score: number;
  /** count is the number of days on which the household itself bought it: 0, 1 or 2. */
  count: number;
  /** low_interval_days is the lower quartile of similar customers' mean intervals. */
  low_interval_days: number;
  /** high_interval_days is the upper quartile of similar customers' mean intervals. */
  high_interval_days: number;
  /** source is the basis of the suggestion: `similar_customers`. */
  source: string;
  /** reasons explain the suggestion, most important first. */
  reasons: Reason[];
}

/** ItemForecast is when the next purchase of an item is expected. */
export interface ItemForecast {
  /** name is the item's name. */
  name: string;
  /**
   * purchase_probabilities are the probabilities that the next purchase is within each step of the ladder after as_of,
   * shortest first.
   */
  purchase_probabilities: PurchaseProbability[];
  /** expected_days is the expected number of days from as_of to the next purchase; at most a year. */
  expected_days: number;
  /**
   * purchased_days are the days on which the item was bought, as days since 1970-01-01, ascending; the latest 200. Days
   * are actual ones: absences of the household are not taken out.
   */
  purchased_days: number[];
}

/** PurchaseProbability is the probability that the next purchase is within a horizon. */
export interface PurchaseProbability {
  /** horizon_days is the number of days after as_of, the last one included. */
  horizon_days: number;
  /** probability is the probability of a purchase within the horizon, 0 to 1. */
  probability: number;
  /** extrapolated means that the horizon, of more than 120 days, is longer than what models are fitted on. */
  extrapolated: boolean;
}

/** BindingConstraint is a constraint that cannot be met together with the others, and what would fit. */
export interface BindingConstraint {
  /** constraint is the name of the field in PlanConstraints, such as `budget_per_month`. */
  constraint: string;
  /** text is the explanation for people. */
  text: string;
  /** fitting_value is the nearest value that can be met; absent when none can, or when the field has no number. */
  fitting_value?: number;
}

/** PlainName is what a recommended item's name means, in words for shoppers. */
export interface PlainName {
  /** name is the recommended item's name, such as `BNLS CHKN BRST 2LB`. */
  name: string;
  /** plain_name is what it means, such as `Boneless chicken breast`. Every word is known to the catalog or in the name. */
  plain_name: string;
  /** source is where it comes from: `rules` or `nim`. */
  source: string;
}

/** Model identifies the model behind a result. */
export interface Model {
  /** name is the model's stable name, such as `heuristic` or `hashed-trigrams`. */
  name: string;
  /** version changes whenever equal input may have different output. */
  version: string;
}

/** HistorySummary describes the history behind a result. */
export interface HistorySummary {
  /** month_count is the number of months. */
  month_count: number;
  /** trip_count is the number of distinct days with a purchase. */
  trip_count: number;
  /** purchase_count is the number of receipt lines. */
  purchase_count: number;
  /** item_count is the number of distinct items. */
  item_count: number;
  /** first_date is the day of the first purchase, ISO 8601. */
  first_date: string;
  /** last_date is the day of the latest purchase, ISO 8601. */
  last_date: string;
  /** total_spend is the amount paid, after savings, rounded to cents. */
  total_spend: number;
  /** simulated is whether the history was simulated. */
  simulated: boolean;
  /** has_prices is whether any price is known. If not, costs and savings are 0 and mean nothing. */
  has_prices: boolean;
}

/** Warning is what is missing from a result and why, or what is unusual about the history behind it. */
export interface Warning {
  /** component is the part that failed, such as `vector`; `history` for the purchases themselves. */
  component: string;
  /** code is stable and meant for programs, such as `COMPONENT_UNAVAILABLE`. */
  code: string;
  /** message is the warning for people: what is missing and what to do. */
  message: string;
}

/** CustomerProfile summarizes a household's purchases. */
export interface CustomerProfile {
  /** customer_id is the household. */
  customer_id: string;
  /** purchase_count is the number of receipt lines. */
  purchase_count: number;
  /** trip_count is the number of distinct days with a purchase. */
  trip_count: number;
  /** total_spend is the amount paid, after savings, rounded to cents. */
  total_spend: number;
  /** mean_trip_gap_days is the mean number of days between trips; absent with fewer than two trips. */
  mean_trip_gap_days?: number;
  /** category_shares are the shares of spend, largest first; they sum to 1 when anything was paid. */
  category_shares: CategoryShare[];
  /** as_of is the as-of date, ISO 8601. */
  as_of: string;
}

/** CategoryShare is the share of a household's spend in one category. */
export interface CategoryShare {
  /** category is the category; `other` when unknown. */
  category: string;
  /** share_ratio is the share, 0 to 1. */
  share_ratio: number;
}

/** ModelFacts names what is known about a recommended item only from a language model. */
export interface ModelFacts {
  /** name is the recommended item's name. */
  name: string;
  /**
   * facts are `category`, `perishability`, `suggested_interval`, `related_items` and `plain_name`, as far as a language
   * model is their source. They are within what the catalog allows for the category, and never shorten a cadence.
   */
  facts: string[];
}

/** PlanAnalysis is what the planning of deliveries needs to know about a household. It has no purchases. */
export interface PlanAnalysis {
  /** items are the items that can be in a plan; their names must differ. */
  items: PlanItem[];
  /** as_of is the as-of date, ISO 8601; deliveries are later. */
  as_of: string;
  /**
   * currency_code is the ISO 4217 code of all amounts, such as `EUR`. It sets the digits to which amounts are rounded: two
   * when empty.
   */
  currency_code: string;
}

/** PlanItem is an item that can be in a plan. */
export interface PlanItem {
  /** name is the item's name. */
  name: string;
  /**
   * options are the ways to deliver it, best first. Only those are planned, so that nothing is delivered for longer than
   * it keeps.
   */
  options: PlanOption[];
  /** best_first_date is the best day of the first delivery, ISO 8601. */
  best_first_date: string;
  /** last_date is the last day of its season, ISO 8601, after which deliveries end; empty for all year. */
  last_date: string;
  /** unit_price is the shelf price of a unit; 0 when unknown. */
  unit_price: number;
  /** price_date is the day of the purchase that the price is from, ISO 8601. */
  price_date: string;
  /** paid_price is what the household paid for a unit; its shelf_unit_price is not used. Absent when unknown. */
  paid_price: ReferencePrice;
  /** discounted is whether the item gets discounts and counts toward them. */
  discounted: boolean;
  /** is_regular is whether the item has a rhythm of its own. Its deliveries stay near the best day. */
  is_regular: boolean;
  /** item_id is the shop's own id of the item, as in the purchases; the pipeline sets it. */
  item_id: string;
  /** variant is the variant or pack size, as in the purchases; the pipeline sets it. */
  variant: string;
  /** units_per_pack is as in Subscription; 0 is the same as 1. */
  units_per_pack: number;
}

/** PlanOption is a way to deliver an item. */
export interface PlanOption {
  /** interval_days is the number of days between deliveries, a step of the ladder. */
  interval_days: number;
  /** quantity is the number of units of a delivery. */
  quantity: number;
  /** delivered_per_used_ratio is the number of units delivered over the number used, while the need lasts. */
  delivered_per_used_ratio: number;
  /** stockout_probability is the probability of a stockout within 84 days, or one interval if that is longer. */
  stockout_probability: number;
  /** overstock_ratio is the share of the deliveries within that time that arrive before they are needed. */
  overstock_ratio: number;
  /** expected_units_on_hand is as in Subscription; 0 when unknown. */
  expected_units_on_hand: number;
}

/**
 * ReferencePrice is what a household lately found and paid for one pack of an item: the last purchases at the present
 * shelf price, without the highest and the lowest payment. One unusual receipt does not change it.
 */
export interface ReferencePrice {
  /** shelf_unit_price is the present shelf price; the usual one for goods that are sold by weight. */
  shelf_unit_price: number;
  /**
   * paid_unit_price is what is expected to be paid, promotions included: the mean of what was paid, drawn toward the
   * household's usual discount.
   */
  paid_unit_price: number;
  /** paid_unit_price_deviation is the sample standard deviation of what was paid. */
  paid_unit_price_deviation: number;
  /** latest_paid_unit_price is what was paid last. */
  latest_paid_unit_price: number;
  /** purchase_count is the number of purchases behind it. */
  purchase_count: number;
  /**
   * usual_discount_ratio is the share of shelf prices that promotions take off all of the household's purchases, 0 to 1.
   * No saving is claimed at a smaller discount, because promotions may take it away.
   */
  usual_discount_ratio: number;
  /** promoted is whether one of the purchases behind it was on promotion. Then no saving is claimed. */
  promoted: boolean;
}

/** Started is the event that the input is accepted. */
export interface Started {
  /** customer_id is the household. */
  customer_id: string;
  /** month_count is the number of monthly updates that will follow. */
  month_count: number;
  /** seed is the seed of the simulation; 0 for a real history. */
  seed: number;
  /** as_of is the as-of date of the result, ISO 8601. */
  as_of: string;
}

/** MonthlyUpdate is one month of purchases. */
export interface MonthlyUpdate {
  /** month_display is the month for people, such as `May 2026`: the month in which the period begins. */
  month_display: string;
  /** progress is the share of months sent, 0 to 100; it never decreases, and the last month has 100. */
  progress: number;
  /** month_number counts the months from 1. */
  month_number: number;
  /** month_count is the total number of months. */
  month_count: number;
  /** period_start is the first day of the month, ISO 8601, inclusive. */
  period_start: string;
  /** period_end is the last day of the month, ISO 8601, inclusive. */
  period_end: string;
  /** trip_count is the number of distinct days with a purchase. */
  trip_count: number;
  /** total_spend is the amount paid, after savings, rounded to cents. */
  total_spend: number;
  /** total_savings is the amount that promotions saved, rounded to cents. */
  total_savings: number;
  /** purchases are the month's receipt lines, ordered by date; the first 1,000 of them. */
  purchases: Purchase[];
  /** purchase_count is the number of the month's receipt lines. */
  purchase_count: number;
}

/** Purchase is one line of a receipt. */
export interface Purchase {
  /** name is the shop's name of the item. */
  name: string;
  /** category is the shop's own category; when empty, it is derived from the name. */
  category: string;
  /** date is the calendar day in the shop's time zone, ISO 8601, such as `2026-05-22`. */
  date: string;
  /** quantity is the number of units; 1 when absent. Goods sold by weight count as one unit. */
  quantity?: number;
  /**
   * price is the shelf price of one unit, before any saving; absent when unknown. Without any price in a history, only
   * cadences are computed; its costs and savings are 0 and mean nothing.
   */
  price?: number;
  /** saving is the amount that promotions took off the whole line, at most price × quantity. */
  saving: number;
  /**
   * item_id is the shop's own id of the item, such as a SKU; it is returned unchanged. Lines with the same id and variant
   * are the same item, whatever their names.
   */
  item_id: string;
  /**
   * variant is the variant or pack size, such as `500 g`; it is returned unchanged. Lines of different variants are
   * different items.
   */
  variant: string;
}

/**
 * NextBasketInput is a household's real history; at most one of history, history_columns and stored_history may be present. A new
 * customer has neither.
 */
export interface NextBasketInput {
  /**
   * customer_id is the household.
   * @maxLength 128
   */
  customer_id: string;
  /**
   * history is the real history as rows of at most 8,000 distinct items.
   * @maxItems 20000
   */
  history?: readonly PurchaseInput[];
  /** history_columns is the real history in columnar form. */
  history_columns?: PurchaseColumnsInput;
  /**
   * as_of is the day of the basket, ISO 8601; purchases may not be later. When empty, it is the day of the latest
   * purchase plus the household's median gap between trips, or a week after its only trip. It is required without
   * purchases.
   */
  as_of?: string;
  /** mode is which items are returned; both kinds when unspecified. */
  mode?: BasketMode;
  /**
   * max_items is the largest number to return; 20 when absent.
   * @minimum 1
   * @maximum 100
   */
  max_items?: number;
  /**
   * assortment holds the items that the household could buy for the first time; when empty, those that the model knows.
   * @maxItems 10000
   */
  assortment?: readonly AssortmentItemInput[];
  /**
   * promotions are the items on promotion on that day; when absent, it is unknown which are. They have an effect only
   * if the model was fitted with promotions.
   */
  promotions?: PromotedItemsInput;
  /** stored_history takes the purchases that are stored of the customer (HistoryService). */
  stored_history?: boolean;
  /**
   * as_known_on is the day, ISO 8601, whose end (UTC) limits what is read of the stored purchases: what was recorded or
   * corrected later is left out, as in a backtest. It must be empty without stored_history.
   */
  as_known_on?: string;
}

/** AssortmentItem is an item that a household could buy. */
export interface AssortmentItemInput {
  /**
   * name is the shop's name of the item.
   * @maxLength 200
   */
  name: string;
  /**
   * category is the shop's own category; empty if unknown.
   * @maxLength 200
   */
  category?: string;
}

/** PromotedItems are all items on promotion on one day. */
export interface PromotedItemsInput {
  /**
   * names are the items; empty if none is on promotion.
   * @maxItems 10000
   * @items.maxLength 200
   */
  names?: readonly string[];
}

/** NextBasketResult is a predicted basket. */
export interface NextBasketResult {
  /** customer_id is the household. */
  customer_id: string;
  /** items are ordered by probability, the highest first; ties by name. */
  items: PredictedItem[];
  /** as_of is the day of the basket, ISO 8601. */
  as_of: string;
  /** model is the model that predicted the basket. */
  model: Model;
  /** recommendation_id identifies the result; equal results have equal ids. */
  recommendation_id: string;
  /** history_version identifies the stored purchases that were taken; empty unless stored_history. */
  history_version: string;
}

/** PredictedItem is an item of a predicted basket. */
export interface PredictedItem {
  /** name is the item's name as in the latest purchase, in the assortment, or as the model knows it. */
  name: string;
  /** category is the item's category; empty if unknown. */
  category: string;
  /** probability is the probability that the household buys the item on that day, given that it shops then; 0 to 1. */
  probability: number;
  /** purchase_count is the number of days on which the household bought the item; 0 for a new item. */
  purchase_count: number;
  /** last_date is the day of the latest purchase, ISO 8601; empty for a new item. */
  last_date: string;
  /** item_id is the shop's own id of the item, as in the purchases; the pipeline sets it. */
  item_id: string;
  /** variant is the variant or pack size, as in the purchases; the pipeline sets it. */
  variant: string;
}

/** GetRecommendationsRequest names a customer. */
export interface GetRecommendationsRequest {
  /**
   * customer_id is the household.
   * @maxLength 128
   */
  customer_id: string;
  /** as_of is the as-of date, ISO 8601; today in UTC when empty, or the day of the latest purchase if that is later. */
  as_of?: string;
  /**
   * as_known_on is the day, ISO 8601, whose end (UTC) limits what is read of the stored purchases: what was recorded or
   * corrected later is left out, as in a backtest.
   */
  as_known_on?: string;
  /**
   * max_recommendations is the largest number to return; 20 when absent.
   * @minimum 1
   * @maximum 100
   */
  max_recommendations?: number;
  /** include_omitted adds the items that are not recommended, each with the reason. */
  include_omitted?: boolean;
  /** include_suggestions adds items that similar customers buy regularly and the household does not. */
  include_suggestions?: boolean;
  /** include_cadence_changes adds how late the next purchases can be before the recommended cadences become longer. */
  include_cadence_changes?: boolean;
}

/** GetNextBasketRequest names a customer. */
export interface GetNextBasketRequest {
  /**
   * customer_id is the household.
   * @maxLength 128
   */
  customer_id: string;
  /** as_of is the day of the basket, ISO 8601; when empty, the expected day of the next trip. */
  as_of?: string;
  /**
   * as_known_on is the day, ISO 8601, whose end (UTC) limits what is read of the stored purchases: what was recorded or
   * corrected later is left out, as in a backtest.
   */
  as_known_on?: string;
  /** mode is which items are returned; both kinds when unspecified. */
  mode?: BasketMode;
  /**
   * max_items is the largest number to return; 20 when absent.
   * @minimum 1
   * @maximum 100
   */
  max_items?: number;
}

/** EraseCustomerRequest names the customer to erase. */
export interface EraseCustomerRequest {
  /**
   * customer_id is the household.
   * @maxLength 128
   */
  customer_id: string;
}

/** EraseCustomerResponse is the receipt of an erasure. */
export interface EraseCustomerResponse {
  /**
   * erased_at is when the customer was erased, ISO 8601 in UTC; of a repeated call, when it was erased first. Empty when the
   * history part is disabled.
   */
  erased_at: string;
  /**
   * ledger_entry_id is the id of the entry in the ledger of erasures: a keyed hash of tenant and customer. Empty when the
   * history part is disabled.
   */
  ledger_entry_id: string;
  /** removed are what this call removed, by part. */
  removed: RemovedData[];
  /** merged_customer_ids are the other ids of the customer (HistoryService.MergeCustomers), which were erased with it. */
  merged_customer_ids: string[];
}

/** RemovedData is what an erasure removed from one part. */
export interface RemovedData {
  /** component is the part, such as `history`. */
  component: string;
  /** kind is what was removed: `purchase_lines`, with their earlier revisions; or `vectors`, with the profile. */
  kind: string;
  /** removed_count is their number; 0 when nothing was stored. */
  removed_count: number;
}

/** PlanInput is what is known about a household, and what it demands. */
export interface PlanInput {
  /**
   * customer_id is the household.
   * @maxLength 128
   */
  customer_id: string;
  /** analysis is the one in a result of Process. */
  analysis: PlanAnalysisInput;
  /** constraints limit the plan. They name items as the analysis does. */
  constraints?: PlanConstraintsInput;
}

/** PlanAnalysis is what the planning of deliveries needs to know about a household. It has no purchases. */
export interface PlanAnalysisInput {
  /**
   * items are the items that can be in a plan; their names must differ.
   * @maxItems 500
   */
  items?: readonly PlanItemInput[];
  /** as_of is the as-of date, ISO 8601; deliveries are later. */
  as_of: string;
  /**
   * currency_code is the ISO 4217 code of all amounts, such as `EUR`. It sets the digits to which amounts are rounded: two
   * when empty.
   */
  currency_code?: string;
}

/** PlanItem is an item that can be in a plan. */
export interface PlanItemInput {
  /**
   * name is the item's name.
   * @maxLength 200
   */
  name?: string;
  /**
   * options are the ways to deliver it, best first. Only those are planned, so that nothing is delivered for longer than
   * it keeps.
   * @minItems 1
   * @maxItems 8
   */
  options?: readonly PlanOptionInput[];
  /** best_first_date is the best day of the first delivery, ISO 8601. */
  best_first_date: string;
  /** last_date is the last day of its season, ISO 8601, after which deliveries end; empty for all year. */
  last_date?: string;
  /**
   * unit_price is the shelf price of a unit; 0 when unknown.
   * @minimum 0
   * @maximum 1000000
   */
  unit_price?: number;
  /** price_date is the day of the purchase that the price is from, ISO 8601. */
  price_date?: string;
  /** paid_price is what the household paid for a unit; its shelf_unit_price is not used. Absent when unknown. */
  paid_price?: ReferencePriceInput;
  /** discounted is whether the item gets discounts and counts toward them. */
  discounted?: boolean;
  /** is_regular is whether the item has a rhythm of its own. Its deliveries stay near the best day. */
  is_regular?: boolean;
  /**
   * item_id is the shop's own id of the item, as in the purchases; the pipeline sets it.
   * @maxLength 200
   */
  item_id?: string;
  /**
   * variant is the variant or pack size, as in the purchases; the pipeline sets it.
   * @maxLength 200
   */
  variant?: string;
  /**
   * units_per_pack is as in Subscription; 0 is the same as 1.
   * @minimum 0
   * @maximum 10000
   */
  units_per_pack?: number;
}

/** PlanOption is a way to deliver an item. */
export interface PlanOptionInput {
  /**
   * interval_days is the number of days between deliveries, a step of the ladder.
   * @minimum 1
   * @maximum 365
   */
  interval_days?: number;
  /**
   * quantity is the number of units of a delivery.
   * @minimum 1
   * @maximum 1000000000
   */
  quantity?: number;
  /**
   * delivered_per_used_ratio is the number of units delivered over the number used, while the need lasts.
   * @minimum 0
   * @maximum 1000000
   */
  delivered_per_used_ratio?: number;
  /**
   * stockout_probability is the probability of a stockout within 84 days, or one interval if that is longer.
   * @minimum 0
   * @maximum 1
   */
  stockout_probability?: number;
  /**
   * overstock_ratio is the share of the deliveries within that time that arrive before they are needed.
   * @minimum 0
   * @maximum 1
   */
  overstock_ratio?: number;
  /**
   * expected_units_on_hand is as in Subscription; 0 when unknown.
   * @minimum 0
   * @maximum 1000000000000
   */
  expected_units_on_hand?: number;
}

/**
 * ReferencePrice is what a household lately found and paid for one pack of an item: the last purchases at the present
 * shelf price, without the highest and the lowest payment. One unusual receipt does not change it.
 */
export interface ReferencePriceInput {
  /**
   * shelf_unit_price is the present shelf price; the usual one for goods that are sold by weight.
   * @minimum 0
   * @maximum 1000000
   */
  shelf_unit_price?: number;
  /**
   * paid_unit_price is what is expected to be paid, promotions included: the mean of what was paid, drawn toward the
   * household's usual discount.
   * @minimum 0
   * @maximum 1000000
   */
  paid_unit_price?: number;
  /**
   * paid_unit_price_deviation is the sample standard deviation of what was paid.
   * @minimum 0
   * @maximum 1000000
   */
  paid_unit_price_deviation?: number;
  /**
   * latest_paid_unit_price is what was paid last.
   * @minimum 0
   * @maximum 1000000
   */
  latest_paid_unit_price?: number;
  /**
   * purchase_count is the number of purchases behind it.
   * @minimum 1
   * @maximum 100000
   */
  purchase_count?: number;
  /**
   * usual_discount_ratio is the share of shelf prices that promotions take off all of the household's purchases, 0 to 1.
   * No saving is claimed at a smaller discount, because promotions may take it away.
   * @minimum 0
   * @maximum 1
   */
  usual_discount_ratio?: number;
  /** promoted is whether one of the purchases behind it was on promotion. Then no saving is claimed. */
  promoted?: boolean;
}

/** PlanResult is a plan. */
export interface PlanResult {
  /** customer_id is the household. */
  customer_id: string;
  /** plan is the calendar, with its cost and saving. It has no deliveries when the constraints cannot be met. */
  plan: SubscriptionPlan;
  /** subscriptions are the items of the plan, in the order of the analysis. */
  subscriptions: PlannedSubscription[];
  /** left_out are the items that are not in the plan, with the reasons, in the order of the analysis. */
  left_out: OmittedItem[];
  /** binding_constraints are the constraints that cannot be met, with what would fit; empty when all are met. */
  binding_constraints: BindingConstraint[];
  /** as_of is the as-of date, ISO 8601. */
  as_of: string;
  /** currency_code is the currency of all amounts. */
  currency_code: string;
  /** recommendation_id identifies this result; equal results have equal ids. */
  recommendation_id: string;
}

/** PlannedSubscription is an item of a plan. */
export interface PlannedSubscription {
  /** name is the item's name. */
  name: string;
  /** subscription is the offer, as in Recommendation. */
  subscription: Subscription;
  /** item_id is the shop's own id of the item. */
  item_id: string;
  /** variant is the variant or pack size. */
  variant: string;
}

/**
 * WhatIfInput is a household's real history, of which the last weeks are replayed. Exactly one of history, history_columns
 * and stored_history must be present.
 */
export interface WhatIfInput {
  /**
   * customer_id is the household.
   * @maxLength 128
   */
  customer_id: string;
  /**
   * history is the real history as rows of at most 8,000 distinct items, with the purchases after as_of.
   * @maxItems 20000
   */
  history?: readonly PurchaseInput[];
  /** history_columns is the real history in columnar form, with the purchases after as_of. */
  history_columns?: PurchaseColumnsInput;
  /** stored_history takes the purchases that are stored of the customer (HistoryService). */
  stored_history?: boolean;
  /**
   * as_of is the day on which the plan is made, ISO 8601; it knows the purchases until then. It must be at least a week
   * before the latest purchase. When empty, it is week_count weeks before the latest purchase.
   */
  as_of?: string;
  /**
   * week_count is the number of weeks after as_of that are replayed; none may end after the latest purchase. When absent, it is
   * 12, or with as_of as many of 12 as there are.
   * @minimum 1
   * @maximum 12
   */
  week_count?: number;
  /**
   * max_recommendations is the largest number of items in the plan; 20 when absent.
   * @minimum 1
   * @maximum 100
   */
  max_recommendations?: number;
  /**
   * currency_code is the ISO 4217 code of all amounts, such as `EUR`. It sets the digits to which amounts are rounded: two
   * when empty.
   */
  currency_code?: string;
  /**
   * stockout_tolerance_ratio trades stockouts against overstock, as in Process; 0.5 when absent.
   * @exclusiveMinimum 0
   * @exclusiveMaximum 1
   */
  stockout_tolerance_ratio?: number;
  /** constraints limit the plan. */
  constraints?: PlanConstraintsInput;
}

/** WhatIfStarted is the plan that is replayed. */
export interface WhatIfStarted {
  /** customer_id is the household. */
  customer_id: string;
  /** as_of is the day on which the plan is made, ISO 8601. The replay starts on the day after. */
  as_of: string;
  /** week_count is the number of weeks that follow. */
  week_count: number;
  /** end_date is the last day of the replay, ISO 8601. */
  end_date: string;
  /**
   * plan is the plan, as Process returns it for the purchases until as_of. It has no deliveries when no item is worth a
   * subscription or the constraints cannot be met.
   */
  plan: SubscriptionPlan;
  /** binding_constraints are the constraints that cannot be met, with what would fit; empty when all are met. */
  binding_constraints: BindingConstraint[];
  /** warnings list what is missing from the plan and why; empty when all parts succeeded. */
  warnings: Warning[];
  /** currency_code is the currency of all amounts. */
  currency_code: string;
  /** history_version identifies the stored purchases that were taken; empty unless stored_history. */
  history_version: string;
}

/** WhatIfWeek is what would have happened in a week of a replay. */
export interface WhatIfWeek {
  /** week_number counts the weeks from 1. */
  week_number: number;
  /** start_date is the first day of the week, ISO 8601. */
  start_date: string;
  /** end_date is the last day of the week, ISO 8601. */
  end_date: string;
  /** totals are those of the week. */
  totals: WhatIfTotals;
  /** cumulative_totals are those of all weeks so far. */
  cumulative_totals: WhatIfTotals;
  /** items are the items of the plan, by name, with what happened to them in the week. */
  items: WhatIfItem[];
  /** deliveries are the week's deliveries of items, by day and name. */
  deliveries: WhatIfDelivery[];
  /** needs are the household's real purchases of items of the plan, by day and name: one for each item and day. */
  needs: WhatIfNeed[];
}

/** WhatIfTotals are sums over items and days. */
export interface WhatIfTotals {
  /** box_count is the number of boxes. */
  box_count: number;
  /** delivery_count is the number of deliveries of items; a box has one for each of its items. */
  delivery_count: number;
  /** early_delivery_count is the number of them that came while units of earlier deliveries were on hand. */
  early_delivery_count: number;
  /** need_count is the number of real purchases of items of the plan: one for each item and day. */
  need_count: number;
  /** stockout_count is the number of them for which the units on hand were too few. */
  stockout_count: number;
  /** delivered_units is the number of units delivered. */
  delivered_units: number;
  /** needed_units is the number of units that the household really bought. */
  needed_units: number;
  /** bought_units is the number of units that it would still have bought in a shop, because they were not on hand. */
  bought_units: number;
  /** paid is what it really paid for the items of the plan. */
  paid: number;
  /** delivery_cost is what the deliveries cost. */
  delivery_cost: number;
  /** purchase_cost is what the units cost that it would still have bought, at the prices really paid. */
  purchase_cost: number;
  /** savings is what the plan saved: paid less delivery_cost and purchase_cost; below 0 when it cost more. */
  savings: number;
}

/** WhatIfItem is what would have happened to an item. */
export interface WhatIfItem {
  /** name is the item's name. */
  name: string;
  /** item_id is the shop's own id of the item, as in the purchases. */
  item_id: string;
  /** variant is the variant or pack size, as in the purchases. */
  variant: string;
  /** totals are those of the item. */
  totals: WhatIfTotals;
  /** units_on_hand are the delivered units that were not used yet, at the end of each day of the period. */
  units_on_hand: number[];
}

/** WhatIfDelivery is a delivery of an item. */
export interface WhatIfDelivery {
  /** date is the day, ISO 8601. */
  date: string;
  /** name is the item's name. */
  name: string;
  /** item_id is the shop's own id of the item, as in the purchases. */
  item_id: string;
  /** variant is the variant or pack size, as in the purchases. */
  variant: string;
  /** quantity is the number of units. */
  quantity: number;
  /**
   * price is what they cost on that day: the price of the plan, moved as the shelf price on the household's receipts had
   * moved since as_of, rounded up to a cent.
   */
  price: number;
  /**
   * units_on_hand is the number of units of earlier deliveries that were on hand when it came; the delivery was early
   * unless it is 0.
   */
  units_on_hand: number;
  /** needed_date is the day on which the first of its units was needed, ISO 8601; empty when none was until the end. */
  needed_date: string;
}

/** WhatIfNeed is a real purchase of an item, and what it would have been with the plan. */
export interface WhatIfNeed {
  /** date is the day, ISO 8601. */
  date: string;
  /** name is the item's name in the plan. */
  name: string;
  /** item_id is the shop's own id of the item in the plan. */
  item_id: string;
  /** variant is the variant or pack size of the item in the plan. */
  variant: string;
  /** units is the number of units bought. Packs of another size count by their content. */
  units: number;
  /** units_from_stock is the number of them that had been delivered, so that the household would not have bought them. */
  units_from_stock: number;
  /** units_bought is the number of them that it would still have bought, because they had run out. */
  units_bought: number;
  /** paid is what was really paid. */
  paid: number;
  /** purchase_cost is what units_bought cost, at the price really paid. */
  purchase_cost: number;
}

/** WhatIfSummary holds the totals of a replay. */
export interface WhatIfSummary {
  /** totals are those of all weeks. */
  totals: WhatIfTotals;
  /** items are the items of the plan, by name, with what happened to them in all weeks. */
  items: WhatIfItem[];
  /**
   * promised_savings is what the plan promised to save on the deliveries of these weeks: the sum of savings_vs_paid; absent
   * when a paid price was unknown.
   */
  promised_savings?: number;
  /** stock_cost is what the units cost that are still on hand at the end. They are paid in totals, but not used. */
  stock_cost: number;
  /** savings_without_stock is what the units saved that were used: savings plus stock_cost. */
  savings_without_stock: number;
  /** total_spend is what the household really paid for all its purchases in these weeks, items outside of the plan included. */
  total_spend: number;
  /** has_prices is whether any price of a real purchase in these weeks is known. If not, amounts mean nothing. */
  has_prices: boolean;
  /** replay_id identifies the replay; equal replays have equal ids. */
  replay_id: string;
}

/** WhatIfResult is a replay. */
export interface WhatIfResult {
  /** started holds the plan that is replayed. */
  started: WhatIfStarted;
  /** weeks are the weeks, earliest first. */
  weeks: WhatIfWeek[];
  /** summary holds the totals. */
  summary: WhatIfSummary;
}

/** ReviewSubscriptionsRequest names a customer. */
export interface ReviewSubscriptionsRequest {
  /**
   * customer_id is the household.
   * @maxLength 128
   */
  customer_id: string;
  /**
   * as_of is the as-of date, ISO 8601; today in UTC when empty, also for a tenant with a test clock, which must name its
   * day. Later purchases are ignored, and deliveries that are later have not happened yet. Subscriptions are as they are
   * today in any case.
   */
  as_of?: string;
}

/** SubscriptionReviews is the advice for a customer's subscriptions. */
export interface SubscriptionReviews {
  /** customer_id is the household. */
  customer_id: string;
  /** as_of is the as-of date, ISO 8601. */
  as_of: string;
  /** currency_code is the currency of all amounts; empty when unknown. */
  currency_code: string;
  /** reviews are the advice for each subscription that is not ended, ordered by subscription_id. */
  reviews: SubscriptionReview[];
  /** history_version is the version of the stored purchases; empty when none are stored. */
  history_version: string;
}

/** SubscriptionReview is the advice for one subscription. */
export interface SubscriptionReview {
  /** subscription_id is the subscription. */
  subscription_id: string;
  /** item is what is delivered. */
  item: SubscribedItem;
  /** action is what to do. */
  action: ReviewAction;
  /** reasons are why, most important first; at least one. */
  reasons: Reason[];
  /** evidence is what the advice is based on. */
  evidence: ReviewEvidence;
  /** now is what the next twelve weeks bring if nothing changes. */
  now: SupplyForecast;
  /** after is what they bring if the advice is followed; the same as now for REVIEW_ACTION_KEEP. */
  after: SupplyForecast;
  /** urgency is before when to follow the advice; absent for REVIEW_ACTION_KEEP. */
  urgency?: ReviewUrgency;
  /**
   * change is the request to SubscriptionService.ChangeSubscription that follows the advice; absent for
   * REVIEW_ACTION_KEEP, and from PipelineService for a subscription that an engine keeps, since it is changed there. Its
   * customer_id and etag are set by PipelineService.
   */
  change?: ChangeSubscriptionRequest;
  /**
   * engine is the system that keeps the subscription, and in which it is changed; unspecified for one that is kept here.
   * Set by PipelineService.
   */
  engine: SubscriptionEngine;
}

/**
 * ReviewEvidence is what happened to a subscription: its latest deliveries, four at most, with the present interval and
 * quantity, and the purchases since the first of them.
 */
export interface ReviewEvidence {
  /** first_date is the day of the first delivery that counts, ISO 8601; empty when there is none yet. */
  first_date: string;
  /** delivered_count is the number of deliveries that arrived. */
  delivered_count: number;
  /**
   * silent_count is how many of the latest in a row were followed by the next one with nothing bought, skipped or
   * returned.
   */
  silent_count: number;
  /** skipped_count is the number of deliveries that the household skipped because it has enough. */
  skipped_count: number;
  /** skipped_in_a_row is how many of the latest were. */
  skipped_in_a_row: number;
  /** returned_count is the number of deliveries of which units came back. */
  returned_count: number;
  /** top_up_count is the number of deliveries after which the household bought more in the second half of the interval. */
  top_up_count: number;
  /** bought_anyway_count is the number after which it bought more in the first half. */
  bought_anyway_count: number;
  /** failed_count is the number of deliveries that did not arrive. */
  failed_count: number;
  /** purchase_count is the number of purchases of the item in the shop. */
  purchase_count: number;
  /** purchased_units is the number of their units. */
  purchased_units: number;
  /** delivered_units is the number of units that arrived and were kept. */
  delivered_units: number;
  /**
   * use_per_day is the number of units that the household uses in a day, from half a year of deliveries and purchases;
   * absent when unknown.
   */
  use_per_day?: number;
  /** earlier_use_per_day is the same before the first delivery; absent when unknown. */
  earlier_use_per_day?: number;
  /** units_on_hand is the estimated number of units at home; absent when unknown. */
  units_on_hand?: number;
  /** skip_reasons are the reasons of all skips, with their numbers. */
  skip_reasons: Record<string, number>;
}

/** SupplyForecast is what a subscription brings in the 84 days after as_of. */
export interface SupplyForecast {
  /** delivered_units is the number of units. */
  delivered_units: number;
  /**
   * early_delivery_count is the number of deliveries that come while what the household has lasts for another quarter of
   * the interval or more; absent when its use is unknown.
   */
  early_delivery_count?: number;
  /**
   * stockout_count is how often the household has nothing left for a quarter of the interval or more, unless it buys it
   * in the shop; absent when its use is unknown.
   */
  stockout_count?: number;
  /** cost is the price of the units; absent when it is unknown. */
  cost?: number;
}

/** ReviewUrgency is before when an advice must be followed to have an effect on the next delivery. */
export interface ReviewUrgency {
  /** sequence is the next delivery that can be changed. */
  sequence: number;
  /** date is its day, ISO 8601. */
  date: string;
  /** cut_off_at is when changes end, ISO 8601 in UTC; empty when the request does not say. */
  cut_off_at: string;
  /** days_left is the number of days from as_of to that; 0 means today. */
  days_left: number;
}

/** GetConfigResponse is the pipeline's configuration. */
export interface GetConfigResponse {
  /** version is the version of Pantree. */
  version: string;
  /** default_archetype is the kind of shopper when a request has none. */
  default_archetype: string;
  /** default_simulation_months is the number of months when a request has none. */
  default_simulation_months: number;
  /** max_simulation_months is the largest number of months. */
  max_simulation_months: number;
  /** max_items is the largest number of items in a first purchase. */
  max_items: number;
  /** max_history_rows is the largest number of rows in a history. */
  max_history_rows: number;
  /**
   * components are the parts behind the pipeline, each followed by the systems outside the mesh that it uses, such as
   * `vector-store`, `language-model`, `enrichment-redis` and `sagemaker`. Their states follow within ten seconds.
   */
  components: ComponentConfig[];
  /** cadences are the delivery intervals that may be offered, shortest first. */
  cadences: Cadence[];
}

/** ComponentConfig is a part behind the pipeline. */
export interface ComponentConfig {
  /** name is the part's name, such as `frequency`. */
  name: string;
  /** required is whether a result needs the part. */
  required: boolean;
  /** enabled is whether the pipeline uses the part. */
  enabled: boolean;
}

/** Cadence is a delivery interval that may be offered. */
export interface Cadence {
  /** frequency is its name, such as `weekly`. */
  frequency: string;
  /** interval_days is the number of days between deliveries. */
  interval_days: number;
}

/** GetStatusResponse is the state of the mesh. */
export interface GetStatusResponse {
  /** state is the state of the mesh: serving when all enabled parts serve, degraded when only optional ones do not. */
  state: ComponentState;
  /**
   * components are the parts behind the pipeline, each followed by the systems outside the mesh that it uses, such as
   * `vector-store`, `language-model`, `enrichment-redis` and `sagemaker`. Their states follow within ten seconds.
   */
  components: ComponentStatus[];
  /** version is the version of the pipeline. */
  version: string;
  /** recent_warnings are what results of this pipeline lacked since it started, the latest first; at most 20. */
  recent_warnings: RecentWarning[];
}

/** ComponentStatus is the state of one part, or of a system that it uses. */
export interface ComponentStatus {
  /** name is its name. */
  name: string;
  /** state is its state. */
  state: ComponentState;
  /** required is whether a result needs the part. */
  required: boolean;
  /** latency_ms is how long the health check took. */
  latency_ms: number;
  /** message is the problem; empty when there is none. */
  message: string;
  /** version is the part's version; empty when it does not answer, and for other systems. */
  version: string;
}

/** RecentWarning is a warning of earlier results. */
export interface RecentWarning {
  /** component is the part that failed, such as `vector`. */
  component: string;
  /** code is stable and meant for programs, such as `COMPONENT_UNAVAILABLE`. */
  code: string;
  /** message is the latest warning for people. */
  message: string;
  /** count is the number of results with it. */
  count: number;
  /** last_time is when the latest of them was computed, ISO 8601, in UTC. */
  last_time: string;
}

/** GetModelsResponse holds the models that rank items. */
export interface GetModelsResponse {
  /** ranking is the answer of the recommendation service. */
  ranking: GetModelResponse;
}

/** GetModelResponse holds the available models. */
export interface GetModelResponse {
  /** model is the model for a request without a customer; the version of a SageMaker endpoint is empty. */
  model: Model;
  /** source is where it runs: `embedded` or `sagemaker`. */
  source: string;
  /**
   * fallback is the embedded model that is used when another one fails; equal to model when that is embedded and no
   * other is selected.
   */
  fallback: Model;
  /** models are the models that a request may choose, by id. */
  models: ModelDetails[];
  /** experiment is the name by which customers are assigned to models; another name assigns them again. */
  experiment: string;
  /** selection_error is why the selection file or a model on disk is not in use; empty when there is no error. */
  selection_error: string;
}

/** ModelDetails describes one model. */
export interface ModelDetails {
  /** id is the model's id in requests. */
  id: string;
  /** model is its name and version. */
  model: Model;
  /** source is where it runs: `embedded` or `sagemaker`. */
  source: string;
  /** share_ratio is the model's share of customers, 0 to 1. */
  share_ratio: number;
  /** is_fallback is whether it is used when another model fails. */
  is_fallback: boolean;
  /** features are its input features. */
  features: string[];
  /** training_data describes its training data; empty for an endpoint. */
  training_data: string;
  /** metrics are measurements from its training, by name. */
  metrics: Record<string, number>;
  /**
   * checksum is the SHA-256 of its manifest, in hexadecimal; the manifest holds those of its files. It is empty for an
   * endpoint.
   */
  checksum: string;
  /** target_variant is the variant of the endpoint to call; empty when the endpoint chooses. */
  target_variant: string;
  /** inference_component is the component of the endpoint to call; empty when it has none. */
  inference_component: string;
}

/** ListArchetypesRequest selects a page of archetypes. */
export interface ListArchetypesRequest {
  /**
   * page_size is the largest number of archetypes to return; 0 means 50, more than 100 counts as 100.
   * @minimum 0
   */
  page_size?: number;
  /**
   * page_token is the next_page_token of the page before; empty for the first page.
   * @maxLength 128
   */
  page_token?: string;
}

/** ListArchetypesResponse is a page of archetypes. */
export interface ListArchetypesResponse {
  /** archetypes are the kinds of shopper on this page. */
  archetypes: Archetype[];
  /** next_page_token is the page_token of the next page; empty on the last one. */
  next_page_token: string;
  /** default_archetype is the id of the archetype when a request has none. */
  default_archetype: string;
}

/** Archetype is a kind of shopper. */
export interface Archetype {
  /** id is its id in requests, such as `health_conscious`. */
  id: string;
  /** display_name is its name for people. */
  display_name: string;
  /** description is a sentence about its baskets. */
  description: string;
  /** mean_trip_gap_days is the mean number of days between two shopping trips. */
  mean_trip_gap_days: number;
  /** mean_basket_items is the mean number of distinct items in a trip's basket. */
  mean_basket_items: number;
  /** category_weights are the shares of purchases by category, largest first; they sum to 1. */
  category_weights: CategoryWeight[];
  /** household_size is the number of people, who determine how fast things are used up. */
  household_size: number;
  /**
   * trait_weights are how much more often than all shoppers they choose items with a trait, in the order of the
   * archetype's file; traits that make no difference are left out.
   */
  trait_weights: TraitWeight[];
  /** pack_weights are the same for pack sizes. */
  pack_weights: PackWeight[];
  /** variant_loyalty_ratio is the share of the purchases of a staple that are of the variant that the household keeps to. */
  variant_loyalty_ratio: number;
}

/** CategoryWeight is the share of an archetype's purchases that fall into one category. */
export interface CategoryWeight {
  /** category is a category id of the catalog, such as `produce`. */
  category: string;
  /** weight_ratio is the share, 0 to 1. */
  weight_ratio: number;
}

/** TraitWeight is how much an archetype prefers items with a trait. */
export interface TraitWeight {
  /** trait is `organic`, `store_brand`, `whole`, `lean`, `processed`, `plant_based`, `convenience` or `occasion`. */
  trait: string;
  /** weight is a factor: 2 means chosen twice as often, compared with other items, as by all shoppers together. */
  weight: number;
}

/** PackWeight is how much an archetype prefers packs of a size. */
export interface PackWeight {
  /** pack_class is `small` (for one person), `regular` or `family`. */
  pack_class: string;
  /** weight is a factor, as in TraitWeight. */
  weight: number;
}

/** ListCatalogItemsRequest selects a page of catalog items. */
export interface ListCatalogItemsRequest {
  /**
   * prefix selects the items with a word that begins with it, regardless of case; empty selects all.
   * @maxLength 200
   */
  prefix?: string;
  /**
   * page_size is the largest number of items to return; 0 means 50, more than 500 counts as 500.
   * @minimum 0
   */
  page_size?: number;
  /**
   * page_token is the next_page_token of the page before; empty for the first page.
   * @maxLength 200
   */
  page_token?: string;
}

/** ListCatalogItemsResponse is a page of catalog items. */
export interface ListCatalogItemsResponse {
  /** items are the items on this page: those whose names begin with the prefix, then the others, each in a stable order. */
  items: CatalogItem[];
  /** next_page_token is the page_token of the next page; empty on the last one. */
  next_page_token: string;
}

/** CatalogItem is an ordinary grocery item. */
export interface CatalogItem {
  /** name is its name. */
  name: string;
  /** category is its category, such as `produce`. */
  category: string;
  /** pack is one unit, such as `2 lb bag`. */
  pack: string;
  /** usual_price is the middle of the shelf prices of one unit, rounded to cents. */
  usual_price: number;
}

/** CreateWebhookRequest is a webhook to create. */
export interface CreateWebhookRequest {
  /**
   * url is where events are sent: `https` and a public host, without user or fragment.
   * @maxLength 2000
   */
  url: string;
  /**
   * webhook_id is its id, which must be new; empty to choose one.
   * @maxLength 64
   */
  webhook_id?: string;
  /**
   * description is what the shop calls it.
   * @maxLength 200
   */
  description?: string;
}

/** CreateWebhookResponse is the webhook. */
export interface CreateWebhookResponse {
  /** webhook is the webhook. */
  webhook: Webhook;
  /** secret verifies the signatures: `whsec_` and base64. It is never returned again. */
  secret: string;
}

/** Webhook is a URL that gets events. */
export interface Webhook {
  /** webhook_id is its id. */
  webhook_id: string;
  /** url is where events are sent. */
  url: string;
  /** description is what the shop calls it. */
  description: string;
  /** created_at is when it was created, ISO 8601 in UTC. */
  created_at: string;
  /** secrets are the secrets that requests are signed with, newest first. */
  secrets: WebhookSecret[];
  /**
   * waiting_count is the number of subscriptions and erasures with events that are not sent, those behind dead letters
   * included.
   */
  waiting_count: number;
  /** waiting_since is since when the first of them waits, ISO 8601 in UTC; empty if none waits. */
  waiting_since: string;
  /** dead_letter_count is the number of events that the receiver refused too often. */
  dead_letter_count: number;
}

/** WebhookSecret is a secret, which is not shown. */
export interface WebhookSecret {
  /** created_at is when it was created, ISO 8601 in UTC. */
  created_at: string;
  /** expires_at is when it ends because of a newer one, ISO 8601 in UTC; empty if it does not. */
  expires_at: string;
}

/** ListWebhooksRequest asks for the webhooks of the tenant. */
export interface ListWebhooksRequest {
  /**
   * page_size is the largest number to return; 0 means 100.
   * @minimum 0
   * @maximum 1000
   */
  page_size?: number;
  /**
   * page_token is next_page_token of the previous page; empty for the first page.
   * @maxLength 512
   */
  page_token?: string;
}

/** ListWebhooksResponse holds a page of webhooks. */
export interface ListWebhooksResponse {
  /** webhooks are the webhooks. */
  webhooks: Webhook[];
  /** next_page_token is the token of the next page; empty after the last one. */
  next_page_token: string;
}

/** DeleteWebhookRequest names a webhook. */
export interface DeleteWebhookRequest {
  /**
   * webhook_id is the webhook.
   * @maxLength 64
   */
  webhook_id: string;
}

/** DeleteWebhookResponse says that the webhook is deleted. A request that is already being sent may still arrive. */
export type DeleteWebhookResponse = Record<string, never>;

/** TestWebhookRequest names a webhook. */
export interface TestWebhookRequest {
  /**
   * webhook_id is the webhook.
   * @maxLength 64
   */
  webhook_id: string;
}

/** TestWebhookResponse is what the receiver answered. */
export interface TestWebhookResponse {
  /** delivered says whether it answered with a status of success, 200 to 299. */
  delivered: boolean;
  /** status_code is the HTTP status of its answer; 0 if there was none. */
  status_code: number;
  /** error is why it was not delivered; empty if it was. */
  error: string;
  /** latency_ms is the time until the answer, or until the attempt ended. */
  latency_ms: number;
}

/** RotateWebhookSecretRequest names a webhook. */
export interface RotateWebhookSecretRequest {
  /**
   * webhook_id is the webhook.
   * @maxLength 64
   */
  webhook_id: string;
  /**
   * overlap_seconds is how long earlier secrets still sign: at most a week, a day when absent; with 0 they end at once.
   * @minimum 0
   * @maximum 604800
   */
  overlap_seconds?: number;
}

/** RotateWebhookSecretResponse is the webhook with its new secret. */
export interface RotateWebhookSecretResponse {
  /** webhook is the webhook. */
  webhook: Webhook;
  /** secret is the new secret, which is never returned again. */
  secret: string;
}

/** ReplayWebhookRequest says what to send again. */
export interface ReplayWebhookRequest {
  /**
   * webhook_id is the webhook.
   * @maxLength 64
   */
  webhook_id: string;
  /**
   * since sends all events again that were stored at this instant or later, ISO 8601 with its offset, such as
   * `2026-05-22T00:00:00Z`; also those from before the webhook was created. When empty, only what waits behind dead
   * letters is sent.
   * @maxLength 40
   */
  since?: string;
  /**
   * subscription_id limits it to one subscription; empty for all.
   * @maxLength 128
   */
  subscription_id?: string;
}

/** ReplayWebhookResponse is what will be sent. */
export interface ReplayWebhookResponse {
  /** replayed_count is the number of subscriptions and erasures with events to send. */
  replayed_count: number;
}

/** ListDeadLettersRequest names a webhook. */
export interface ListDeadLettersRequest {
  /**
   * webhook_id is the webhook.
   * @maxLength 64
   */
  webhook_id: string;
  /**
   * page_size is the largest number to return; 0 means 100.
   * @minimum 0
   * @maximum 1000
   */
  page_size?: number;
  /**
   * page_token is next_page_token of the previous page; empty for the first page.
   * @maxLength 512
   */
  page_token?: string;
}

/** ListDeadLettersResponse holds a page of dead letters. */
export interface ListDeadLettersResponse {
  /** dead_letters are the dead letters. */
  dead_letters: DeadLetter[];
  /** next_page_token is the token of the next page; empty after the last one. */
  next_page_token: string;
}

/** DeadLetter is an event that the receiver refused too often. */
export interface DeadLetter {
  /** subscription_id is the subscription whose events wait; empty for the erasure of a customer. */
  subscription_id: string;
  /** customer_id is the customer of an erasure; empty for a subscription. */
  customer_id: string;
  /** number is the number of the event in its subscription; 0 for an erasure. */
  number: number;
  /** waiting_count is the number of events that wait, this one included. */
  waiting_count: number;
  /** attempt_count is how often it was sent. */
  attempt_count: number;
  /** error is why the last attempt failed. */
  error: string;
  /** failed_at is when the last attempt failed, ISO 8601 in UTC. */
  failed_at: string;
}

/** IntervalUnit is the unit of an interval. */
export type IntervalUnit =
  | "INTERVAL_UNIT_UNSPECIFIED"
  | "INTERVAL_UNIT_DAY"
  | "INTERVAL_UNIT_WEEK"
  | "INTERVAL_UNIT_MONTH";

/** SubscriptionStatus is whether a subscription delivers. */
export type SubscriptionStatus =
  | "SUBSCRIPTION_STATUS_UNSPECIFIED"
  | "SUBSCRIPTION_STATUS_ACTIVE"
  | "SUBSCRIPTION_STATUS_PAUSED"
  | "SUBSCRIPTION_STATUS_CANCELLED"
  | "SUBSCRIPTION_STATUS_EXPIRED";

/** DeliveryStatus is how far a delivery has come. */
export type DeliveryStatus =
  | "DELIVERY_STATUS_UNSPECIFIED"
  | "DELIVERY_STATUS_PLANNED"
  | "DELIVERY_STATUS_LOCKED"
  | "DELIVERY_STATUS_SENT"
  | "DELIVERY_STATUS_DELIVERED"
  | "DELIVERY_STATUS_SKIPPED"
  | "DELIVERY_STATUS_FAILED";

/** SubscriptionEngine is a system that keeps subscriptions and sends webhooks. */
export type SubscriptionEngine =
  | "SUBSCRIPTION_ENGINE_UNSPECIFIED"
  | "SUBSCRIPTION_ENGINE_RECHARGE"
  | "SUBSCRIPTION_ENGINE_ORDERGROOVE"
  | "SUBSCRIPTION_ENGINE_SHOPIFY";

/** DeliveryReport is what the shop reports about a delivery. */
export type DeliveryReport =
  | "DELIVERY_REPORT_UNSPECIFIED"
  | "DELIVERY_REPORT_LOCKED"
  | "DELIVERY_REPORT_SENT"
  | "DELIVERY_REPORT_DELIVERED"
  | "DELIVERY_REPORT_FAILED"
  | "DELIVERY_REPORT_OUT_OF_STOCK"
  | "DELIVERY_REPORT_SUBSTITUTED"
  | "DELIVERY_REPORT_RETURNED";

/** Relation is how two items are used together. */
export type Relation =
  | "RELATION_UNSPECIFIED"
  | "RELATION_COMPLEMENT"
  | "RELATION_SUBSTITUTE";

/** BasketMode is which items of a next basket are returned. */
export type BasketMode =
  | "BASKET_MODE_UNSPECIFIED"
  | "BASKET_MODE_REPEAT"
  | "BASKET_MODE_EXPLORE"
  | "BASKET_MODE_BOTH";

/** ReviewAction is what a review advises. */
export type ReviewAction =
  | "REVIEW_ACTION_UNSPECIFIED"
  | "REVIEW_ACTION_KEEP"
  | "REVIEW_ACTION_LENGTHEN"
  | "REVIEW_ACTION_SHORTEN"
  | "REVIEW_ACTION_CHANGE_QUANTITY"
  | "REVIEW_ACTION_SKIP_NEXT"
  | "REVIEW_ACTION_PAUSE"
  | "REVIEW_ACTION_SWAP"
  | "REVIEW_ACTION_STOP";

/** ComponentState is the state of a part or of the mesh. */
export type ComponentState =
  | "COMPONENT_STATE_UNSPECIFIED"
  | "COMPONENT_STATE_SERVING"
  | "COMPONENT_STATE_DEGRADED"
  | "COMPONENT_STATE_UNAVAILABLE"
  | "COMPONENT_STATE_DISABLED";

/**
 * ErrorReason is why a call failed. Without its prefix it is `google.rpc.ErrorInfo.reason`, with the domain `pantree`,
 * and `code` in the gateway's problem documents. Callers may branch on it; messages may change.
 */
export type ErrorReason =
  | "INVALID_INPUT"
  | "NOT_FOUND"
  | "COMPONENT_UNAVAILABLE"
  | "DEADLINE_EXCEEDED"
  | "DEADLINE_TOO_SHORT"
  | "STORE_MISMATCH"
  | "TOO_LARGE"
  | "INTERNAL"
  | "OVERLOADED"
  | "PERMISSION_DENIED"
  | "UNAUTHENTICATED"
  | "METHOD_NOT_ALLOWED"
  | "UNSUPPORTED_MEDIA_TYPE"
  | "TOO_MANY_REQUESTS"
  | "IDEMPOTENCY_KEY_REUSED"
  | "REQUEST_RUNNING"
  | "SHUTTING_DOWN"
  | "REQUEST_TIMEOUT"
  | "ALREADY_EXISTS"
  | "CUSTOMER_ERASED"
  | "INVALID_STATE"
  | "ETAG_MISMATCH"
  | "QUOTA_EXCEEDED";
