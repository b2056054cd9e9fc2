// Generated from the contract by `npm run generate`. Do not edit.

/**
 * StreamProcessResponse is an event of a pipeline: one started, then one monthly_update for each month, then one
 * completed.
 */
export type StreamProcessEvent = StartedEvent | MonthlyUpdateEvent | CompletedEvent;

/** started says that the input is accepted. */
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

/**
 * ProcessInput is what is known about a household: its first purchase, from which a history is simulated, or its real
 * history. Exactly one of items, history and history_columns must be given.
 */
export interface ProcessInput {
  /**
   * customer_id is the household, 1 to 128 characters.
   * @maxLength 128
   */
  customer_id: string;
  /**
   * customer_name is for people; it is returned as given, at most 200 characters.
   * @maxLength 200
   */
  customer_name?: string;
  /**
   * archetype is the kind of shopper to simulate; empty means the default one. It goes with items only.
   * @maxLength 128
   */
  archetype?: string;
  /**
   * items are the first purchase, 1 to 100 items.
   * @maxItems 100
   */
  items?: readonly BasketItemInput[];
  /**
   * simulation_months is the number of months to simulate, 1 to 60; 6 when absent. It goes with items only.
   * @minimum 1
   * @maximum 60
   */
  simulation_months?: number;
  /**
   * history is the real history as rows, at most 20,000 of at most 8,000 distinct items.
   * @maxItems 20000
   */
  history?: readonly PurchaseInput[];
  /** history_columns is the real history in columnar form, at most 100,000 lines of at most 8,000 distinct items. */
  history_columns?: PurchaseColumnsInput;
  /**
   * as_of is the day on which the question is asked, ISO 8601. When empty it is today for a simulation, and the day of
   * the latest purchase for a real history. A simulated history ends before that day.
   */
  as_of?: string;
  /**
   * seed makes the answer repeatable: equal input, as_of and seed give equal answers. When absent one is drawn; the
   * result tells it.
   */
  seed?: number;
  /**
   * max_recommendations is the largest number to return, 1 to 100; 20 when absent.
   * @minimum 1
   * @maximum 100
   */
  max_recommendations?: number;
  /** include_omitted asks for the items left out, with the reason for each. */
  include_omitted?: boolean;
  /** include_cadence_changes asks when a later next purchase would make the recommended cadences longer. */
  include_cadence_changes?: boolean;
  /**
   * include_suggestions asks what similar customers buy regularly and the household does not. The answer then depends on
   * which customers are stored, whatever the seed.
   */
  include_suggestions?: boolean;
}

/** BasketItem is one item of a first purchase, as a customer puts it into a basket. */
export interface BasketItemInput {
  /**
   * name is what the shop calls the item; 1 to 200 characters.
   * @maxLength 200
   */
  name: string;
  /**
   * price is the shelf price of one unit in the currency of the request; 0 to 1,000,000.
   * @minimum 0
   * @maximum 1000000
   */
  price: number;
  /**
   * quantity is the number of units, 1 to 10,000; 1 when absent. Goods sold by weight count as one unit.
   * @minimum 1
   * @maximum 10000
   */
  quantity?: number;
  /**
   * category is the shop's own category; when empty it is derived from the name.
   * @maxLength 200
   */
  category?: string;
}

/** Purchase is one line of a receipt, as people read and write it. */
export interface PurchaseInput {
  /**
   * name is what the shop calls the item; 1 to 200 characters.
   * @maxLength 200
   */
  name: string;
  /**
   * category is the shop's own category; when empty it is derived from the name.
   * @maxLength 200
   */
  category?: string;
  /** date is the calendar day in the shop's time zone, ISO 8601, such as `2026-05-22`. */
  date: string;
  /**
   * quantity is the number of units, 1 to 10,000; 1 when absent. Goods sold by weight count as one unit.
   * @minimum 1
   * @maximum 10000
   */
  quantity?: number;
  /**
   * price is the shelf price of one unit, before any saving; 0 to 1,000,000.
   * @minimum 0
   * @maximum 1000000
   */
  price: number;
  /**
   * saving is what was taken off the whole line by promotions; 0 up to price × quantity.
   * @minimum 0
   */
  saving?: number;
}

/**
 * PurchaseColumns is one household's purchases in columnar form: a dictionary of items and parallel arrays with one
 * element per receipt line. It is what travels between services, since packed arrays decode several times faster
 * than rows. All arrays that describe lines have the same length; lines are ordered by day, then as bought.
 */
export interface PurchaseColumnsInput {
  /**
   * item_names is the dictionary of items; names are distinct.
   * @maxItems 8000
   * @items.maxLength 200
   */
  item_names?: readonly string[];
  /**
   * item_categories is parallel to item_names; an empty string means unknown.
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
   * quantities holds, for each line, the number of units, at least 1.
   * @maxItems 100000
   * @items.minimum 1
   * @items.maximum 10000
   */
  quantities?: readonly number[];
  /**
   * prices holds, for each line, the shelf price of one unit.
   * @maxItems 100000
   * @items.minimum 0
   * @items.maximum 1000000
   */
  prices?: readonly number[];
  /**
   * savings holds, for each line, what was taken off the whole line.
   * @maxItems 100000
   * @items.minimum 0
   */
  savings?: readonly number[];
}

/** ProcessResult is what the pipeline found out. */
export interface ProcessResult {
  /** customer_id is the household. */
  customer_id: string;
  /** recommendations are the items worth a subscription. */
  recommendations: RecommendationSet;
  /** recommendation_id identifies this answer; equal answers to equal input have equal ids. */
  recommendation_id: string;
  /** model is the model that ranked the items. */
  model: Model;
  /** source is where that model ran: `embedded` or `sagemaker`. */
  source: string;
  /** confidence_model is the model that judged the confidence. */
  confidence_model: Model;
  /** as_of is the day for which the answer holds, ISO 8601. */
  as_of: string;
  /** seed is the seed of the simulation; 0 for a real history. */
  seed: number;
  /** customer_name is the name as given. */
  customer_name: string;
  /** archetype is the kind of shopper that was simulated; empty for a real history. */
  archetype: string;
  /** history_summary says what the answer rests on. */
  history_summary: HistorySummary;
  /** warnings say what is missing from the answer and why; empty when all parts did their work. */
  warnings: Warning[];
  /** customer_profile sums up what the household buys; absent when the vector part could not make it. */
  customer_profile?: CustomerProfile;
}

/** RecommendationSet holds the items worth a subscription, and what was left out. */
export interface RecommendationSet {
  /** recommendations are ordered best first. */
  recommendations: Recommendation[];
  /** omitted are the items left out, ordered by name; empty unless asked for. */
  omitted: OmittedItem[];
  /** related are the items that go with or replace recommended ones, in the order of the recommendations. */
  related: RelatedItems[];
  /** plan is what all recommendations cost and save together. */
  plan: SubscriptionPlan;
  /**
   * cadence_changes tell when a later next purchase would make a cadence longer, for the first 20 recommendations, in
   * their order; empty unless asked for. The interval is that of the purchases alone.
   */
  cadence_changes: CadenceChange[];
  /**
   * suggestions are what similar customers buy regularly and the household does not, best first; empty unless asked for.
   * None is an offer to subscribe.
   */
  suggestions: Suggestion[];
  /** near_misses are, when nothing is recommended, up to three items that came closest to it, and why they were left out. */
  near_misses: OmittedItem[];
}

/** Recommendation is an item worth a subscription. */
export interface Recommendation {
  /** name is the item's name. */
  name: string;
  /** confidence, 0 to 100, is the evidence's confidence that the household buys the item again soon. */
  confidence: number;
  /** count is the number of distinct days on which the item was bought. */
  count: number;
  /** avg_interval is the mean number of days between purchases, rounded to a tenth. */
  avg_interval: number;
  /** subscription is the offer. */
  subscription: Subscription;
  /** category is the item's category; empty when unknown. */
  category: string;
  /** score orders the recommendations, 0 to 1; higher is better. */
  score: number;
  /** last_date is the day of the latest purchase, ISO 8601. */
  last_date: string;
  /** next_due_date is when the item is expected to be needed again, ISO 8601; never before as_of. */
  next_due_date: string;
  /** reasons are why the item is recommended, most important first. */
  reasons: Reason[];
  /** cadence_probability is that of a purchase within 1.5 × the supported cadence of as_of, 0 to 1. */
  cadence_probability: number;
}

/** Subscription is an offer to deliver an item again and again. */
export interface Subscription {
  /**
   * frequency is the name of the cadence: weekly, biweekly, every_3_weeks, monthly, every_6_weeks, bimonthly or
   * quarterly.
   */
  frequency: string;
  /** interval_days is the number of days between deliveries: 7, 14, 21, 28, 42, 56 or 84. */
  interval_days: number;
  /**
   * estimated_annual_savings is price × quantity × discount × 365 / interval_days, rounded down to a cent, against the
   * shelf price. A household that buys on promotion may save less.
   */
  estimated_annual_savings: number;
  /** discount_ratio is the subscription's discount on the shelf price, 0 to 1. */
  discount_ratio: number;
  /** quantity is the number of units per delivery. */
  quantity: number;
  /** annual_cost is what a year's deliveries cost after the discount, rounded up to a cent. */
  annual_cost: number;
  /** savings_vs_paid is the saving against what this household really paid; absent when that is not known. */
  savings_vs_paid?: SavingsVsPaid;
  /**
   * tiers are the same at each discount that the shop gives, by how many items come on one day; fewest items first. The
   * first one is what stands above.
   */
  tiers: PriceTier[];
  /**
   * first_delivery_date is when deliveries best begin, ISO 8601, never before as_of: what the evidence chose by the risk of
   * running out against piling up; where it holds no such day, the recommendation's next_due_date.
   */
  first_delivery_date: string;
}

/**
 * SavingsVsPaid is what a subscription saves in a year against what the household really paid so far, promotions
 * included. Amounts are rounded down to a cent and below 0 when the subscription costs more.
 */
export interface SavingsVsPaid {
  /** expected_annual_savings is (mean paid price − subscription's price) × units in a year. */
  expected_annual_savings: number;
  /** low_annual_savings is the lower end of what four in five years bring, given how much the paid prices vary. */
  low_annual_savings: number;
  /** high_annual_savings is the upper end. */
  high_annual_savings: number;
  /** paid_unit_price is what a unit cost the household on average. */
  paid_unit_price: number;
  /** subscription_unit_price is the latest shelf price less the discount, rounded up to a cent. */
  subscription_unit_price: number;
  /** pays_less_today says that the household pays less than the subscription would ask. */
  pays_less_today: boolean;
}

/** PriceTier is what a subscription costs and saves when it comes with others. */
export interface PriceTier {
  /** min_items_per_delivery is the number of items on one day from which on the discount holds. */
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

/** Reason is one ground for a recommendation, with the numbers behind it. */
export interface Reason {
  /** code is stable and meant for programs, such as `BOUGHT_REGULARLY`. */
  code: string;
  /** text is the same for people. */
  text: string;
  /** values are the numbers behind it, by name. */
  values: Record<string, number>;
  /** other_item is another item that the reason speaks of; empty for most. */
  other_item: string;
}

/** OmittedItem is an item that was left out. */
export interface OmittedItem {
  /** name is the item's name. */
  name: string;
  /** reason is why, with the numbers behind it. */
  reason: Reason;
}

/** RelatedItems are what goes with or replaces a recommended item. */
export interface RelatedItems {
  /** name is the recommended item's name. */
  name: string;
  /** items are the related items, best first. */
  items: RelatedItem[];
  /** source is who said it: `rules` or `nim`. */
  source: string;
}

/** RelatedItem is an item that goes with another one. */
export interface RelatedItem {
  /** name is the related item's name. */
  name: string;
  /** relation says how the two are related. */
  relation: Relation;
}

/**
 * SubscriptionPlan is what a year costs and saves when all recommended items are subscribed to and first come on the same
 * day: discounts grow with the number of items that come on a day.
 */
export interface SubscriptionPlan {
  /** item_count is the number of items. */
  item_count: number;
  /** annual_cost is what the deliveries cost after the discount, rounded up to a cent. */
  annual_cost: number;
  /** estimated_annual_savings is the saving against shelf prices, rounded down to a cent. */
  estimated_annual_savings: number;
  /**
   * annual_savings_vs_paid is the saving against what the household really paid, promotions included, rounded down to a
   * cent; below 0 when the subscriptions cost more; absent when it is not known of every item what was paid.
   */
  annual_savings_vs_paid?: number;
  /** best_discount_ratio is the share of item deliveries that get the largest discount, 0 to 1. */
  best_discount_ratio: number;
}

/** CadenceChange is what a later next purchase would make of an item's recommended interval. */
export interface CadenceChange {
  /** name is the item's name. */
  name: string;
  /** recommended_interval_days is the recommended interval as of now. */
  recommended_interval_days: number;
  /**
   * after_date is the last day, ISO 8601, on which a next purchase leaves the interval no longer than it is: one on the
   * day after it makes it longer.
   */
  after_date: string;
  /** interval_days is what the interval then becomes, a longer step of the ladder. */
  interval_days: number;
  /** text is the same for people. */
  text: string;
}

/** Suggestion is an item that the household may like to try, or try again. Its own purchases say too little for a cadence. */
export interface Suggestion {
  /** name is the item's name. */
  name: string;
  /** category is the item's category; empty when unknown. */
  category: string;
  /**
   * score orders the suggestions, 0 to 1: what the share of similar customers who buy it regularly is at least, with a
   * probability of 90 %, given how few were counted.
   */
  score: number;
  /** count is the number of days on which the household itself bought it: 0, 1 or 2. */
  count: number;
  /** low_interval_days is the lower quartile of how often similar customers buy it. It is theirs, not the household's. */
  low_interval_days: number;
  /** high_interval_days is the upper quartile. */
  high_interval_days: number;
  /** source is whose purchases the suggestion rests on: `similar_customers`. */
  source: string;
  /** reasons are why it is suggested, most important first. */
  reasons: Reason[];
}

/** Model names what produced a figure, so that an answer can be traced back to it. */
export interface Model {
  /** name is the model's stable name, such as `heuristic` or `hashed-trigrams`. */
  name: string;
  /** version changes whenever equal input may give other output. */
  version: string;
}

/** HistorySummary says what an answer rests on. */
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
  /** total_spend is what was paid, after savings, rounded to cents. */
  total_spend: number;
  /** simulated says that the history was simulated. */
  simulated: boolean;
}

/** Warning says what is missing from an answer and why. */
export interface Warning {
  /** component is the part that could not do its work, such as `vector`. */
  component: string;
  /** code is stable and meant for programs, such as `COMPONENT_UNAVAILABLE`. */
  code: string;
  /** message is for people: what is missing and what to do. */
  message: string;
}

/** CustomerProfile sums up what a household buys. */
export interface CustomerProfile {
  /** customer_id is the household. */
  customer_id: string;
  /** purchase_count is the number of receipt lines. */
  purchase_count: number;
  /** trip_count is the number of distinct days with a purchase. */
  trip_count: number;
  /** total_spend is what was paid, after savings, rounded to cents. */
  total_spend: number;
  /** mean_trip_gap_days is the mean number of days between trips; absent with fewer than two trips. */
  mean_trip_gap_days?: number;
  /** category_shares are the shares of spend, largest first; they sum to 1 when anything was paid. */
  category_shares: CategoryShare[];
  /** as_of is the day for which the profile was made, ISO 8601. */
  as_of: string;
}

/** CategoryShare is the share of a household's spend in one category. */
export interface CategoryShare {
  /** category is the category; `other` when unknown. */
  category: string;
  /** share_ratio is the share, 0 to 1. */
  share_ratio: number;
}

/** Started says that the input is accepted and the work has begun. */
export interface Started {
  /** customer_id is the household. */
  customer_id: string;
  /** month_count is the number of monthly updates that will follow. */
  month_count: number;
  /** seed is the seed of the simulation; 0 for a real history. */
  seed: number;
  /** as_of is the day for which the answer will hold, ISO 8601. */
  as_of: string;
}

/** MonthlyUpdate is one month of purchases. */
export interface MonthlyUpdate {
  /** month_display is the month for people, such as `May 2026`: the month in which the period begins. */
  month_display: string;
  /** progress is how far the months have come, 0 to 100; it never falls, and the last month has 100. */
  progress: number;
  /** month_number counts the months from 1. */
  month_number: number;
  /** month_count is the number of months that there will be. */
  month_count: number;
  /** period_start is the first day of the month, ISO 8601, inclusive. */
  period_start: string;
  /** period_end is the last day of the month, ISO 8601, inclusive. */
  period_end: string;
  /** trip_count is the number of distinct days with a purchase. */
  trip_count: number;
  /** total_spend is what was paid, after savings, rounded to cents. */
  total_spend: number;
  /** total_savings is what promotions took off, rounded to cents. */
  total_savings: number;
  /** purchases are the month's receipt lines, ordered by date; the first 1,000 of them. */
  purchases: Purchase[];
  /** purchase_count is the number of the month's receipt lines. */
  purchase_count: number;
}

/** Purchase is one line of a receipt, as people read and write it. */
export interface Purchase {
  /** name is what the shop calls the item; 1 to 200 characters. */
  name: string;
  /** category is the shop's own category; when empty it is derived from the name. */
  category: string;
  /** date is the calendar day in the shop's time zone, ISO 8601, such as `2026-05-22`. */
  date: string;
  /** quantity is the number of units, 1 to 10,000; 1 when absent. Goods sold by weight count as one unit. */
  quantity?: number;
  /** price is the shelf price of one unit, before any saving; 0 to 1,000,000. */
  price: number;
  /** saving is what was taken off the whole line by promotions; 0 up to price × quantity. */
  saving: number;
}

/** GetConfigResponse tells how the pipeline is set up. */
export interface GetConfigResponse {
  /** version is the version of Pantree. */
  version: string;
  /** default_archetype is the kind of shopper when a request names none. */
  default_archetype: string;
  /** default_simulation_months is the number of months when a request names none. */
  default_simulation_months: number;
  /** max_simulation_months is the largest number of months. */
  max_simulation_months: number;
  /** max_items is the largest number of items in a first purchase. */
  max_items: number;
  /** max_history_rows is the largest number of rows in a history. */
  max_history_rows: number;
  /** components are the parts behind the pipeline. */
  components: ComponentConfig[];
  /** cadences are the delivery intervals that may be offered, shortest first. */
  cadences: Cadence[];
}

/** ComponentConfig is a part behind the pipeline. */
export interface ComponentConfig {
  /** name is the part's name, such as `frequency`. */
  name: string;
  /** required says that no answer can be given without it. */
  required: boolean;
  /** enabled says that the pipeline uses it. */
  enabled: boolean;
}

/** Cadence is a delivery interval that may be offered. */
export interface Cadence {
  /** frequency is its name, such as `weekly`. */
  frequency: string;
  /** interval_days is the number of days between deliveries. */
  interval_days: number;
}

/** ListArchetypesRequest asks for a page of archetypes. */
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
  /** next_page_token asks for the next page; empty on the last one. */
  next_page_token: string;
  /** default_archetype is the id that applies when a request names none. */
  default_archetype: string;
}

/** Archetype is a kind of shopper. */
export interface Archetype {
  /** id is what requests name it by, such as `health_conscious`. */
  id: string;
  /** display_name is its name for people. */
  display_name: string;
  /** description says in a sentence what its baskets look like. */
  description: string;
  /** mean_trip_gap_days is the mean number of days between two shopping trips. */
  mean_trip_gap_days: number;
  /** mean_basket_items is the mean number of distinct items in a trip's basket. */
  mean_basket_items: number;
  /** category_weights are the shares of purchases by category, largest first; they sum to 1. */
  category_weights: CategoryWeight[];
}

/** CategoryWeight is the share of an archetype's purchases that fall into one category. */
export interface CategoryWeight {
  /** category is a category id of the catalog, such as `produce`. */
  category: string;
  /** weight_ratio is the share, 0 to 1. */
  weight_ratio: number;
}

/** Relation says how two items are related in a kitchen. */
export type Relation =
  | "RELATION_UNSPECIFIED"
  | "RELATION_COMPLEMENT"
  | "RELATION_SUBSTITUTE";

/**
 * ErrorReason says why a call failed. It travels, without its prefix, as `google.rpc.ErrorInfo.reason` with the
 * domain `pantree`, and as `code` in the gateway's problem documents. Callers may branch on it; messages may change.
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
  | "SHUTTING_DOWN";
