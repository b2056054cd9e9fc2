/** The client. */
import { converse, type WebSocketConstructor } from "./conversation.js";
import { ComponentUnavailableError, errorOfResponse, InvalidInputError, isTransient } from "./errors.js";
import type {
  AppendPurchasesRequest,
  AppendPurchasesResponse,
  Archetype,
  CatalogItem,
  ChangeSubscriptionRequest,
  ChangeSubscriptionResponse,
  CorrectPurchasesRequest,
  CorrectPurchasesResponse,
  CustomerSubscription,
  EraseCustomerResponse,
  GetConfigResponse,
  GetModelsResponse,
  GetStatusResponse,
  ListArchetypesResponse,
  ListCatalogItemsResponse,
  ListEventsResponse,
  ListPurchasesResponse,
  ListSubscriptionsResponse,
  NextBasketInput,
  NextBasketResult,
  PauseSubscriptionsRequest,
  PauseSubscriptionsResponse,
  PlanInput,
  PlanResult,
  ProcessInput,
  ProcessResult,
  PurchaseLine,
  ResumeSubscriptionsRequest,
  ResumeSubscriptionsResponse,
  StreamProcessEvent,
  SubscriptionEvent,
  SubscriptionReviews,
  WhatIfEvent,
  WhatIfInput,
  WhatIfResult,
} from "./generated/rest.js";
import * as ROUTES from "./generated/routes.js";
import { Deadline } from "./time.js";

const TIMEOUT_HEADER = "X-Request-Timeout";
// The gateway reports a deadline itself, with a trace ID. The client gives up this much later.
const GRACE_SECONDS = 1;

/** Options of a client. */
export interface ClientOptions {
  /** Timeout of a request; default 30. The gateway receives it as `X-Request-Timeout`. */
  timeoutSeconds?: number;
  /** Timeout of a stream; default 300. */
  streamTimeoutSeconds?: number;
  /** Maximum number of attempts when a part is unavailable; default 4. 1 disables retries. */
  maxAttempts?: number;
  /** API key, sent as `X-API-Key`, and as a subprotocol of WebSockets, on which browsers set no headers. */
  apiKey?: string;
  /** Token, sent as `Authorization: Bearer`, and as a subprotocol of WebSockets. A function is called for each request. */
  token?: string | (() => string | Promise<string>);
  /** Called before each pause between two attempts. */
  onRetry?: (retry: Retry) => void;
  /** Headers of every request, such as `traceparent`. Browsers do not send them with a WebSocket. */
  headers?: Readonly<Record<string, string>>;
  /** Replaces the global `fetch`. */
  fetch?: typeof fetch;
  /** Replaces the global `WebSocket`. Node.js has one from version 22; in 20, pass that of the package `ws`. */
  WebSocket?: WebSocketConstructor;
}

/** A failed attempt that will be repeated. */
export interface Retry {
  /** Number of the failed attempt, from 1. A stream counts again from 1 after each event. */
  attempt: number;
  /** Time until the next attempt. */
  seconds: number;
  /** Why the attempt failed. */
  error: unknown;
  /** Ends the pause at once. */
  now: () => void;
}

/** Options of a call. */
export interface CallOptions {
  /** Aborts the call. It rejects with the reason of the signal, and the gateway cancels the work. */
  signal?: AbortSignal;
  /** Timeout of this call. */
  timeoutSeconds?: number;
  /** Called before each pause between two attempts of this call, instead of that of the client. */
  onRetry?: (retry: Retry) => void;
  /** Maximum number of attempts of this call, instead of that of the client. */
  maxAttempts?: number;
}

/** The kinds of shopper that can be simulated. */
export interface Archetypes {
  archetypes: Archetype[];
  /** ID of the default archetype of a request. */
  default_archetype: string;
}

/** State of a part. */
export interface ComponentHealth {
  status: "healthy" | "degraded" | "unavailable" | "disabled";
  /** Whether it is required for every answer. */
  required: boolean;
  /** Response time of its health check. */
  latency_ms: number;
  /** Description of the problem; empty without a problem. */
  message: string;
}

/** State of the mesh. */
export interface Health {
  /** `degraded` if only optional parts are unavailable, `unavailable` if a required part is. */
  status: "healthy" | "degraded" | "unavailable";
  components: Record<string, ComponentHealth>;
  version: string;
}

/**
 * Client of a Pantree gateway. It keeps no connection open, so it does not need to be closed.
 *
 * ```ts
 * const pantree = new PantreeClient("http://localhost:8000");
 * const result = await pantree.process({ customer_id: "cust_001", items: [{ name: "Bananas", price: 1.99 }] });
 * ```
 */
export class PantreeClient {
  private readonly base: string;
  private readonly options: ClientOptions;

  /** @param gateway URL of the gateway; its path is prepended to every route */
  constructor(gateway: string | URL, options: ClientOptions = {}) {
    this.base = new URL(gateway).href.replace(/\/$/, "");
    this.options = options;
  }

  /**
   * Returns recommendations for one household, from its first purchase or its real history.
   *
   * @throws InvalidInputError if fields are invalid; it names the first ones and the number of the others
   * @throws ComponentUnavailableError if a required part is unavailable
   * @throws DeadlineExceededError if the call took too long
   */
  async process(input: ProcessInput, options: CallOptions = {}): Promise<ProcessResult> {
    return this.request<ProcessResult>(ROUTES.process.path, options, input);
  }

  /**
   * Same as `process`, as a stream of events: `started`, one `monthly_update` per month, `completed`.
   *
   * The stream resumes after a lost connection, with exponential back-off. Leaving the loop cancels the work.
   *
   * @throws PantreeError as in `process`, at any point of the stream
   */
  stream(input: ProcessInput, options: CallOptions = {}): AsyncGenerator<StreamProcessEvent, void, undefined> {
    return this.events<StreamProcessEvent>(ROUTES.streamProcess.path, input, options);
  }

  /** Sends a request over a WebSocket and yields the events, with retries as for `stream`. */
  private async *events<Event extends { type: string }>(
    route: string,
    input: { customer_id: string },
    options: CallOptions,
  ): AsyncGenerator<Event, void, undefined> {
    const { customer_id, ...request } = input;
    const url = this.base.replace(/^http/, "ws") + pathOf(route, customer_id);
    const WebSocket = this.webSocket();
    const deadline = new Deadline(
      options.timeoutSeconds ?? this.options.streamTimeoutSeconds ?? 300,
      options.signal,
    );
    try {
      let started = false;
      let resume_token: string | undefined;
      for (let attempt = 1; ; attempt++) {
        try {
          deadline.signal.throwIfAborted();
          const protocols = await this.subprotocols();
          const text = JSON.stringify({ ...request, resume_token });
          for await (const event of converse<Event>(new WebSocket(url, protocols), text, deadline.signal)) {
            started = true;
            resume_token = event.resume_token;
            attempt = 1;
            yield event;
          }
          return;
        } catch (error) {
          // Without a token, the gateway would start again.
          if ((started && resume_token === undefined) || !this.canRetry(error, attempt, options)) throw error;
          await this.pause(deadline, attempt, error, options);
        }
      }
    } finally {
      deadline.dispose();
    }
  }

  /**
   * Returns the items that a household is most likely to buy on its next shopping trip.
   *
   * @throws PantreeError as in `process`
   */
  async nextBasket(input: NextBasketInput, options: CallOptions = {}): Promise<NextBasketResult> {
    return this.request<NextBasketResult>(ROUTES.nextBasket.path, options, input);
  }

  /**
   * Plans the deliveries of a household again, with constraints, from the analysis of a result.
   *
   * @throws PantreeError as in `process`
   */
  async plan(input: PlanInput, options: CallOptions = {}): Promise<PlanResult> {
    return this.request<PlanResult>(ROUTES.plan.path, options, input);
  }

  /**
   * Returns what a plan of some weeks ago would have done, replayed on the purchases that really followed.
   *
   * @throws PantreeError as in `process`
   */
  async whatIf(input: WhatIfInput, options: CallOptions = {}): Promise<WhatIfResult> {
    return this.request<WhatIfResult>(ROUTES.getWhatIf.path, options, input);
  }

  /**
   * Same as `whatIf`, as a stream of events: `started`, one `week` per week, `completed`. It resumes as `stream` does.
   *
   * @throws PantreeError as in `process`, at any point of the stream
   */
  streamWhatIf(input: WhatIfInput, options: CallOptions = {}): AsyncGenerator<WhatIfEvent, void, undefined> {
    return this.events<WhatIfEvent>(ROUTES.whatIf.path, input, options);
  }

  /**
   * Stores purchases of a household: all of them, or none and an error. Each line is stored once, however often the call is
   * repeated. Then `process`, `stream` and `nextBasket` take `stored_history` in place of purchases.
   *
   * @throws PantreeError as in `process`
   */
  async appendPurchases(input: AppendPurchasesRequest, options: CallOptions = {}): Promise<AppendPurchasesResponse> {
    const { customer_id, ...lines } = input;
    return this.request<AppendPurchasesResponse>(pathOf(ROUTES.appendPurchases.path, customer_id), options, lines);
  }

  /**
   * Replaces or removes stored purchases of a household: all of them, or none and an error.
   *
   * @throws PantreeError as in `process`
   */
  async correctPurchases(input: CorrectPurchasesRequest, options: CallOptions = {}): Promise<CorrectPurchasesResponse> {
    const { customer_id, ...lines } = input;
    return this.request<CorrectPurchasesResponse>(pathOf(ROUTES.correctPurchases.path, customer_id), options, lines);
  }

  /**
   * Returns the stored purchases of a household, from all pages, ordered by day, order and line.
   *
   * @throws NotFoundError when nothing is stored
   */
  async purchases(customer_id: string, options: CallOptions = {}): Promise<PurchaseLine[]> {
    const route = pathOf(ROUTES.listPurchases.path, customer_id);
    return this.pages(route, (page: ListPurchasesResponse) => page.purchases, options);
  }

  /**
   * Erases a household in all parts, and refuses its purchases from then on. The receipt says what was removed where.
   *
   * @throws PantreeError as in `process`
   */
  async eraseCustomer(customer_id: string, options: CallOptions = {}): Promise<EraseCustomerResponse> {
    const { path, verb } = ROUTES.eraseCustomer;
    return this.request<EraseCustomerResponse>(pathOf(path, customer_id), options, undefined, 200, verb);
  }

  /** Returns the subscriptions of a household, ended ones included, from all pages, ordered by ID. */
  async subscriptions(customer_id: string, options: CallOptions = {}): Promise<CustomerSubscription[]> {
    const route = pathOf(ROUTES.listSubscriptions.path, customer_id);
    return this.pages(route, (page: ListSubscriptionsResponse) => page.subscriptions, options);
  }

  /** Returns what happened to a subscription, from all pages, earliest first. */
  async subscriptionEvents(
    customer_id: string,
    subscription_id: string,
    options: CallOptions = {},
  ): Promise<SubscriptionEvent[]> {
    const route = pathOf(ROUTES.listEvents.path, customer_id, subscription_id);
    return this.pages(route, (page: ListEventsResponse) => page.events, options);
  }

  /**
   * Returns what to keep and what to change about the subscriptions of a household, and why. Nothing is changed.
   *
   * @throws PantreeError as in `process`
   */
  async reviewSubscriptions(customer_id: string, options: CallOptions = {}): Promise<SubscriptionReviews> {
    return this.request<SubscriptionReviews>(pathOf(ROUTES.reviewSubscriptions.path, customer_id), options);
  }

  /**
   * Changes a subscription with one of its levers. Send a `request_id`: retries of the call then change it once. With the
   * `etag` of the subscription, the call fails if it has changed since.
   *
   * @throws PantreeError with the code `ETAG_MISMATCH` or `INVALID_STATE`, or as in `process`
   */
  async changeSubscription(
    input: ChangeSubscriptionRequest,
    options: CallOptions = {},
  ): Promise<ChangeSubscriptionResponse> {
    const { customer_id, subscription_id, ...change } = input;
    const path = pathOf(ROUTES.changeSubscription.path, customer_id, subscription_id);
    return this.request<ChangeSubscriptionResponse>(path, options, change);
  }

  /**
   * Pauses all subscriptions of a household at once, until a day or until `resumeSubscriptions`.
   *
   * @throws PantreeError as in `process`
   */
  async pauseSubscriptions(
    input: PauseSubscriptionsRequest,
    options: CallOptions = {},
  ): Promise<PauseSubscriptionsResponse> {
    const { customer_id, ...pause } = input;
    return this.request<PauseSubscriptionsResponse>(pathOf(ROUTES.pauseSubscriptions.path, customer_id), options, pause);
  }

  /**
   * Ends what `pauseSubscriptions` began.
   *
   * @throws PantreeError as in `process`
   */
  async resumeSubscriptions(
    input: ResumeSubscriptionsRequest,
    options: CallOptions = {},
  ): Promise<ResumeSubscriptionsResponse> {
    const { customer_id, ...resume } = input;
    return this.request<ResumeSubscriptionsResponse>(pathOf(ROUTES.resumeSubscriptions.path, customer_id), options, resume);
  }

  /** Returns the entries of all pages of a list. */
  private async pages<Page extends { next_page_token: string }, Entry>(
    route: string,
    entriesOf: (page: Page) => readonly Entry[],
    options: CallOptions,
  ): Promise<Entry[]> {
    const entries: Entry[] = [];
    let page_token = "";
    do {
      const page = await this.request<Page>(`${route}?${new URLSearchParams({ page_size: "1000", page_token })}`, options);
      entries.push(...entriesOf(page));
      page_token = page.next_page_token;
    } while (page_token);
    return entries;
  }

  /** Returns the kinds of shopper that can be simulated, from all pages. */
  async archetypes(options: CallOptions = {}): Promise<Archetypes> {
    const archetypes: Archetype[] = [];
    let token = "";
    for (;;) {
      const query = token && `?page_token=${encodeURIComponent(token)}`;
      const page = await this.request<ListArchetypesResponse>(ROUTES.listArchetypes.path + query, options);
      archetypes.push(...page.archetypes);
      token = page.next_page_token;
      if (!token) return { archetypes, default_archetype: page.default_archetype };
    }
  }

  /** Returns grocery items with a word that begins with a prefix, regardless of case; all of them without one. */
  async catalogItems(prefix = "", options: CallOptions = {}): Promise<CatalogItem[]> {
    const items: CatalogItem[] = [];
    let page_token = "";
    do {
      const query = new URLSearchParams({ prefix, page_size: "500", page_token });
      const path = `${ROUTES.listCatalogItems.path}?${query}`;
      const page = await this.request<ListCatalogItemsResponse>(path, options);
      items.push(...page.items);
      page_token = page.next_page_token;
    } while (page_token);
    return items;
  }

  /** Returns the state and version of every part, and what results lacked lately. */
  async status(options: CallOptions = {}): Promise<GetStatusResponse> {
    return this.request<GetStatusResponse>(ROUTES.getStatus.path, options);
  }

  /** Returns the models that rank items. */
  async models(options: CallOptions = {}): Promise<GetModelsResponse> {
    return this.request<GetModelsResponse>(ROUTES.getModels.path, options);
  }

  /**
   * Reads a file of purchases: CSV and its variants, XLSX, Parquet or JSON lines. Nothing is stored.
   *
   * @param query how to read it, such as `column=date=Order+Date`; the gateway's `/docs` lists the parameters
   * @returns the report of the gateway: its `history_columns` go into `process`, or `problems` has the reasons why not
   */
  async readPurchaseFile<Report = Record<string, unknown>>(
    file: Blob,
    query = "",
    options: CallOptions = {},
  ): Promise<Report> {
    return this.request<Report>(`/api/v1/purchase-files${query && `?${query}`}`, options, file);
  }

  /** Returns the configuration of the pipeline: defaults, limits, parts, cadences. */
  async config(options: CallOptions = {}): Promise<GetConfigResponse> {
    return this.request<GetConfigResponse>(ROUTES.getConfig.path, options);
  }

  /** Returns the state of every part, also if it is `unavailable`. */
  async health(options: CallOptions = {}): Promise<Health> {
    return this.request<Health>("/health", options, undefined, 503);
  }

  /** Sends a request, with retries while attempts and time remain. */
  private async request<Body>(
    path: string,
    options: CallOptions,
    body?: object,
    acceptedStatus = 200,
    verb = body ? "POST" : "GET",
  ): Promise<Body> {
    const seconds = options.timeoutSeconds ?? this.options.timeoutSeconds ?? 30;
    const deadline = new Deadline(seconds, options.signal, GRACE_SECONDS);
    try {
      for (let attempt = 1; ; attempt++) {
        try {
          const response = await this.send(path, deadline, verb, body);
          const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
          const isAccepted = response.ok || (isJson && response.status === acceptedStatus);
          if (!isAccepted) throw await errorOfResponse(response);
          return (await response.json()) as Body;
        } catch (error) {
          if (deadline.signal.aborted) throw deadline.signal.reason;
          if (!this.canRetry(error, attempt, options)) throw error;
          await this.pause(deadline, attempt, error, options);
        }
      }
    } finally {
      deadline.dispose();
    }
  }

  private async send(path: string, deadline: Deadline, verb: string, body?: object): Promise<Response> {
    const fetch = this.options.fetch ?? globalThis.fetch;
    const { apiKey } = this.options;
    const token = await this.token();
    const headers = {
      ...this.options.headers,
      ...(apiKey && { "X-API-Key": apiKey }),
      ...(token && { Authorization: `Bearer ${token}` }),
      [TIMEOUT_HEADER]: deadline.remainingSeconds.toFixed(3),
      ...(body && { "Content-Type": body instanceof Blob ? "application/octet-stream" : "application/json" }),
    };
    const request = { method: verb, headers, signal: deadline.signal };
    const content = body instanceof Blob ? body : JSON.stringify(body);
    try {
      return await fetch(this.base + path, body ? { ...request, body: content } : request);
    } catch (cause) {
      if (deadline.signal.aborted) throw cause;
      const message = `cannot connect to ${this.base}; is the gateway running, and does it allow the origin of this page?`;
      throw new ComponentUnavailableError(message, { code: "COMPONENT_UNAVAILABLE", cause });
    }
  }

  private canRetry(error: unknown, attempt: number, options: CallOptions): boolean {
    return isTransient(error) && attempt < (options.maxAttempts ?? this.options.maxAttempts ?? 4);
  }

  private async pause(deadline: Deadline, attempt: number, error: unknown, options: CallOptions): Promise<void> {
    const onRetry = options.onRetry ?? this.options.onRetry;
    await deadline.pause(attempt, (seconds, now) => onRetry?.({ attempt, seconds, error, now }));
  }

  private async token(): Promise<string> {
    const { token } = this.options;
    return (typeof token === "function" ? await token() : token) ?? "";
  }

  private async subprotocols(): Promise<string[]> {
    const secret = this.options.apiKey || (await this.token());
    return secret ? ["pantree", `bearer.${secret}`] : [];
  }

  private webSocket(): WebSocketConstructor {
    const found = this.options.WebSocket ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
    if (!found) {
      throw new TypeError(
        'this environment has no WebSocket; pass one: import { WebSocket } from "ws"; new PantreeClient(url, { WebSocket })',
      );
    }
    return found;
  }
}

/** The path of a route of a customer, or of one of the subscriptions of a customer. */
function pathOf(route: string, customer_id: string, subscription_id?: string): string {
  const ids = { customer_id, ...(subscription_id !== undefined && { subscription_id }) };
  return Object.entries(ids).reduce((path, [field, id]) => {
    // Such a path has no route. The gateway reports other invalid IDs.
    if (id === "") {
      const message = "must have 1 to 128 characters";
      throw new InvalidInputError(`${field}: ${message}`, { code: "INVALID_INPUT", fields: [{ field, message }] });
    }
    return path.replace(`{${field}}`, encodeURIComponent(id));
  }, route);
}
