/** One WebSocket: sends a request and receives events. */
import { ComponentUnavailableError, errorOfProblem, PantreeError, UnauthenticatedError, type Problem } from "./errors.js";

// The gateway's close code for wrong credentials.
const NOT_ALLOWED = 4401;

/** The interface of a WebSocket that the client uses: that of browsers, of Node.js 22, or of the package `ws`. */
export interface WebSocketLike {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string): void;
  close(code?: number, reason?: string): void;
}

/** Constructor of WebSockets. */
export type WebSocketConstructor = new (url: string, protocols?: string[]) => WebSocketLike;

/** An event, with the token that resumes the stream after it; older gateways send no token. */
export type ResumableEvent<Event> = Event & { resume_token?: string };

type ErrorFrame = { type: "error"; error: string; problem: Problem };
type Frame<Event> = ErrorFrame | ResumableEvent<Event>;
type Arrival<Event> = { frame: Frame<Event> } | { error: unknown };

/**
 * Yields the events of one WebSocket.
 *
 * @param socket a new WebSocket that is connecting
 * @param request JSON text to send when it is open
 * @param signal closes it; the gateway then cancels the work
 * @throws PantreeError error of the gateway; ComponentUnavailableError if the connection ends before the result
 */
export async function* converse<Event extends { type: string }>(
  socket: WebSocketLike,
  request: string,
  signal: AbortSignal,
): AsyncGenerator<ResumableEvent<Event>, void, undefined> {
  const arrivals: Arrival<Event>[] = [];
  let wake = (): void => {};
  const arrive = (arrival: Arrival<Event>): void => {
    arrivals.push(arrival);
    wake();
  };
  const abort = (): void => {
    arrivals.length = 0;
    arrive({ error: signal.reason });
  };

  socket.onopen = () => socket.send(request);
  socket.onmessage = (event: { data: unknown }) => {
    try {
      arrive({ frame: JSON.parse(String(event.data)) as Frame<Event> });
    } catch (cause) {
      arrive({ error: new PantreeError("the gateway sent a message that is not JSON", { code: "PROTOCOL_ERROR", cause }) });
    }
  };
  // Browsers give no details of an error; the close event that follows has the code.
  socket.onerror = () => {};
  socket.onclose = (event: { code: number; reason: string }) => {
    if (event.code === NOT_ALLOWED) {
      const message = event.reason || "the key or token is missing or not valid";
      arrive({ error: new UnauthenticatedError(message, { code: "UNAUTHENTICATED", status: 401 }) });
      return;
    }
    const reason = event.reason ? `: ${event.reason}` : "";
    const message = `the connection ended with code ${event.code} before the result${reason}; try again`;
    arrive({ error: new ComponentUnavailableError(message, { code: "COMPONENT_UNAVAILABLE" }) });
  };
  if (signal.aborted) abort();
  else signal.addEventListener("abort", abort, { once: true });

  try {
    for (;;) {
      const arrival = arrivals.shift();
      if (arrival === undefined) {
        await new Promise<void>((resolve) => (wake = resolve));
        continue;
      }
      if ("error" in arrival) throw arrival.error;
      if (arrival.frame.type === "error") throw errorOfProblem((arrival.frame as ErrorFrame).problem);
      yield arrival.frame as ResumableEvent<Event>;
      if (arrival.frame.type === "completed") return;
    }
  } finally {
    signal.removeEventListener("abort", abort);
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(1000);
  }
}
