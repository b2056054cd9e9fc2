/** The client itself. */
import { converse, type WebSocketConstructor } from "./conversation.js";
import { ComponentUnavailableError, errorOfResponse, InvalidInputError, isTransient } from "./errors.js";
import type {
  Archetype,
  GetConfigResponse,
  ListArchetypesResponse,
  ProcessInput,
  ProcessResult,
  StreamProcessEvent,
} from "./generated/rest.js";
import { ROUTES } from "./generated/routes.js";
import { Deadline } from "./time.js";

const TIMEOUT_HEADER = "X-Request-Timeout";
// The gateway is the one to say that time is over, with a trace id; only when it does not, the client says it.
const GRACE_SECONDS = 1;

/** How a client works. */
export interface ClientOptions {
  /** Longest time for a request; 30 unless told otherwise. It goes to the gateway as `X-Request-Timeout`. */
  timeoutSeconds?: number;
  /** Longest time for a stream; 300 unless told otherwise. */
  streamTimeoutSeconds?: number;
  /** How often to try when a part does not answer; 4 unless told otherwise, 1 for no second attempt. */
  maxAttempts?: number;
  /** Headers for every request, such as `traceparent`. Browsers send none with a WebSocket. */
  headers?: Readonly<Record<string, string>>;
  /** Instead of the global `fetch`. */
  fetch?: typeof fetch;
  /** Instead of the global `WebSocket`, which Node.js has from version 22; in 20, take that of the package `ws`. */
  WebSocket?: WebSocketConstructor;
}

/** How one call works. */
export interface CallOptions {
  /** Ends the call; it rejects with the signal's reason, and the gateway stops the work. */
  signal?: AbortSignal;
  /** Longest time for this call. */
  timeoutSeconds?: number;
}

/** The kinds of shopper that can be simulated. */
export interface Archetypes {
  archetypes: Archetype[];
  /** Id of the one that applies when a request names none. */
  default_archetype: string;
}

/** State of a part. */
export interface ComponentHealth {
  status: "healthy" | "degraded" | "unavailable" | "disabled";
  /** Whether no answer can be given without it. */
  required: boolean;
  /** How long it took to tell its state. */
  latency_ms: number;
  /** What is wrong; empty when nothing is. */
  message: string;
}

/** State of the whole. */
export interface Health {
  /** `degraded` when only optional parts are missing, `unavailable` when no answers can be given. */
  status: "healthy" | "degraded" | "unavailable";
  components: Record<string, ComponentHealth>;
  version: string;
}

/**
 * Asks a gateway of Pantree. It holds no connection, so it need not be closed.
 *
 * ```ts
 * const pantree = new PantreeClient("http://localhost:8000");
 * const result = await pantree.process({ customer_id: "cust_001", items: [{ name: "Bananas", price: 1.99 }] });
 * ```
 */
export class PantreeClient {
  private readonly base: string;
  private readonly options: ClientOptions;

  /** @param gateway URL of the gateway; what its path holds stands before every route */
  constructor(gateway: string | URL, options: ClientOptions = {}) {
    this.base = new URL(gateway).href.replace(/\/$/, "");
    this.options = options;
  }

  /**
   * Recommendations for one household, from its first purchase or its real history.
   *
   * @throws InvalidInputError naming every wrong field
   * @throws ComponentUnavailableError when a part that the answer needs does not answer
   * @throws DeadlineExceededError when it took too long
   */
  async process(input: ProcessInput, options: CallOptions = {}): Promise<ProcessResult> {
    return this.ask<ProcessResult>(ROUTES.process.path, options, input);
  }

  /**
   * The same with the months on the way: `started`, one `monthly_update` for each month, `completed`.
   *
   * A connection that fails is opened again, with growing pauses, and the stream goes on where it was. Leaving the loop
   * stops the work.
   *
   * @throws PantreeError as `process`, at any moment of the stream
   */
  async *stream(
    input: ProcessInput,
    options: CallOptions = {},
  ): AsyncGenerator<StreamProcessEvent, void, undefined> {
    const { customer_id, ...request } = input;
    // Elsewhere the gateway says what is wrong; such an id would not even reach it, since a path cannot hold it.
    if (!/^[^/]+$/.test(customer_id)) {
      const fields = [{ field: "customer_id", message: "is empty or has a slash; give 1 to 128 other characters" }];
      throw new InvalidInputError(`customer_id: ${fields[0]?.message}`, { code: "INVALID_INPUT", fields });
    }
    const path = ROUTES.streamProcess.path.replace("{customer_id}", encodeURIComponent(customer_id));
    const url = this.base.replace(/^http/, "ws") + path;
    const WebSocket = this.webSocket();
    const deadline = new Deadline(
      options.timeoutSeconds ?? this.options.streamTimeoutSeconds ?? 300,
      options.signal,
    );
    try {
      let begun = false;
      let resume_token: string | undefined;
      for (let attempt = 1; ; attempt++) {
        try {
          deadline.signal.throwIfAborted();
          const text = JSON.stringify({ ...request, resume_token });
          for await (const event of converse(new WebSocket(url), text, deadline.signal)) {
            begun = true;
            resume_token = event.resume_token;
            attempt = 1;
            yield event;
          }
          return;
        } catch (error) {
          // A gateway that gives no tokens would begin from the start.
          if ((begun && resume_token === undefined) || !this.mayTryAgain(error, attempt)) throw error;
        }
        await deadline.pause(attempt);
      }
    } finally {
      deadline.dispose();
    }
  }

  /** The kinds of shopper that can be simulated, all pages of them. */
  async archetypes(options: CallOptions = {}): Promise<Archetypes> {
    const archetypes: Archetype[] = [];
    let token = "";
    for (;;) {
      const query = token && `?page_token=${encodeURIComponent(token)}`;
      const page = await this.ask<ListArchetypesResponse>(ROUTES.listArchetypes.path + query, options);
      archetypes.push(...page.archetypes);
      token = page.next_page_token;
      if (!token) return { archetypes, default_archetype: page.default_archetype };
    }
  }

  /** How the pipeline is set up: defaults, limits, parts. */
  async config(options: CallOptions = {}): Promise<GetConfigResponse> {
    return this.ask<GetConfigResponse>(ROUTES.getConfig.path, options);
  }

  /** The state of every part. `unavailable` is an answer, too; only a gateway that does not answer is an error. */
  async health(options: CallOptions = {}): Promise<Health> {
    return this.ask<Health>("/health", options, undefined, [503]);
  }

  /** Asks until there is an answer, attempts are used up or time is over. */
  private async ask<Answer>(
    path: string,
    options: CallOptions,
    body?: object,
    alsoFine: readonly number[] = [],
  ): Promise<Answer> {
    const seconds = options.timeoutSeconds ?? this.options.timeoutSeconds ?? 30;
    const deadline = new Deadline(seconds, options.signal, GRACE_SECONDS);
    try {
      for (let attempt = 1; ; attempt++) {
        try {
          const response = await this.send(path, deadline, body);
          const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
          const isFine = response.ok || (isJson && alsoFine.includes(response.status));
          if (!isFine) throw await errorOfResponse(response);
          return (await response.json()) as Answer;
        } catch (error) {
          if (deadline.signal.aborted) throw deadline.signal.reason;
          if (!this.mayTryAgain(error, attempt)) throw error;
        }
        await deadline.pause(attempt);
      }
    } finally {
      deadline.dispose();
    }
  }

  private async send(path: string, deadline: Deadline, body?: object): Promise<Response> {
    const ask = this.options.fetch ?? globalThis.fetch;
    const headers = {
      ...this.options.headers,
      [TIMEOUT_HEADER]: deadline.remainingSeconds.toFixed(3),
      ...(body && { "Content-Type": "application/json" }),
    };
    const request = { method: body ? "POST" : "GET", headers, signal: deadline.signal };
    try {
      return await ask(this.base + path, body ? { ...request, body: JSON.stringify(body) } : request);
    } catch (cause) {
      if (deadline.signal.aborted) throw cause;
      const message = `${this.base} cannot be reached; is the gateway running, and may this page call it?`;
      throw new ComponentUnavailableError(message, { code: "COMPONENT_UNAVAILABLE", cause });
    }
  }

  private mayTryAgain(error: unknown, attempt: number): boolean {
    return isTransient(error) && attempt < (this.options.maxAttempts ?? 4);
  }

  private webSocket(): WebSocketConstructor {
    const found = this.options.WebSocket ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
    if (!found) {
      throw new TypeError(
        'there is no WebSocket here; pass one: import { WebSocket } from "ws"; new PantreeClient(url, { WebSocket })',
      );
    }
    return found;
  }
}
