// Attempts and timeouts, against real servers on loopback that misbehave as told.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { ComponentUnavailableError, DeadlineExceededError, InvalidInputError, PantreeClient } from "../../src/index.js";

const BASKET = { customer_id: "cust_001", items: [{ name: "Bananas", price: 1.99 }] };
const UNAVAILABLE = {
  type: "about:blank",
  title: "Service Unavailable",
  status: 503,
  detail: "frequency is not available; try again later",
  instance: "/api/v1/process",
  code: "COMPONENT_UNAVAILABLE",
  errors: [],
  trace_id: "0af7651916cd43dd8448eb211c80319c",
  component: "frequency",
};

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<[Server, string]> {
  const server = createServer(answer);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return [server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`];
}

function send(response: ServerResponse, status: number, document: object): void {
  const type = status < 400 ? "application/json" : "application/problem+json";
  response.writeHead(status, { "Content-Type": type }).end(JSON.stringify(document));
}

/** A gateway's WebSocket; `script` has the action for each connection. */
async function serveSockets(script: readonly ("refuse" | "drop" | "drop after started" | "cut" | "resume" | "answer")[]) {
  const [server, url] = await serve((_request, response) => send(response, 404, {}));
  const sockets = new WebSocketServer({ noServer: true });
  const seen = { connections: 0, requests: [] as string[], path: "" };
  server.on("upgrade", (request, socket, head) => {
    const act = script[seen.connections++] ?? "answer";
    seen.path = request.url ?? "";
    if (act === "refuse") {
      socket.end("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      return;
    }
    sockets.handleUpgrade(request, socket, head, (one) => {
      one.on("message", (text) => {
        seen.requests.push(String(text));
        if (act === "drop") return one.terminate();
        if (act === "cut") {
          const started = { type: "started", data: { month_count: 1 }, resume_token: "after the first" };
          return one.send(JSON.stringify(started), () => request.socket.end());
        }
        if (act !== "resume") one.send(JSON.stringify({ type: "started", data: { month_count: 1 } }));
        if (act === "drop after started") return one.close(1012, "the gateway stops");
        one.send(JSON.stringify({ type: "completed", data: { customer_id: "cust_001" } }));
        one.close(1000);
      });
    });
  });
  return { url, seen };
}

async function kindsOf(client: PantreeClient): Promise<string[]> {
  const kinds = [];
  for await (const { type } of client.stream(BASKET)) kinds.push(type);
  return kinds;
}

test("process is retried while a part is unavailable, with the remaining time", async () => {
  const timeouts: number[] = [];
  const [, url] = await serve((request, response) => {
    timeouts.push(Number(request.headers["x-request-timeout"]));
    if (timeouts.length < 3) send(response, 503, UNAVAILABLE);
    else send(response, 200, { customer_id: "cust_001" });
  });
  expect(await new PantreeClient(url, { timeoutSeconds: 20 }).process(BASKET)).toEqual({ customer_id: "cust_001" });
  expect(timeouts.length).toBe(3);
  expect(timeouts[0]).toBeLessThanOrEqual(20);
  expect([...timeouts].sort((one, other) => other - one)).toEqual(timeouts);
});

test("process rejects with the error of the gateway after maxAttempts", async () => {
  let requests = 0;
  const [, url] = await serve((_request, response) => {
    requests += 1;
    send(response, 503, UNAVAILABLE);
  });
  const error = await new PantreeClient(url, { maxAttempts: 2 }).process(BASKET).catch((one: unknown) => one);
  expect(error).toBeInstanceOf(ComponentUnavailableError);
  expect(error).toMatchObject({ component: "frequency", status: 503, traceId: UNAVAILABLE.trace_id });
  expect(requests).toBe(2);
});

test("invalid input is not retried", async () => {
  let requests = 0;
  const errors = [{ field: "items", message: "must not be empty" }];
  const [, url] = await serve((_request, response) => {
    requests += 1;
    send(response, 400, { ...UNAVAILABLE, status: 400, code: "INVALID_INPUT", errors });
  });
  const error = await new PantreeClient(url).process(BASKET).catch((one: unknown) => one);
  expect(error).toBeInstanceOf(InvalidInputError);
  expect((error as InvalidInputError).fields).toEqual(errors);
  expect(requests).toBe(1);
});

test("a hanging gateway throws DeadlineExceededError", async () => {
  const [, url] = await serve(() => {});
  const error = await new PantreeClient(url).process(BASKET, { timeoutSeconds: 0.05 }).catch((one: unknown) => one);
  expect(error).toBeInstanceOf(DeadlineExceededError);
  expect((error as DeadlineExceededError).status).toBe(0);
});

test("an abort between attempts rejects the call", async () => {
  const controller = new AbortController();
  const reason = new Error("left");
  const [, url] = await serve((_request, response) => {
    send(response, 503, UNAVAILABLE);
    setTimeout(() => controller.abort(reason), 10);
  });
  const client = new PantreeClient(url, { maxAttempts: 1000 });
  expect(await client.process(BASKET, { signal: controller.signal }).catch((one: unknown) => one)).toBe(reason);
});

test("headers and the path of the URL are used for every request", async () => {
  const seen: string[] = [];
  const [, url] = await serve((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers["traceparent"]}`);
    send(response, 200, {});
  });
  await new PantreeClient(`${url}/pantree/`, { headers: { traceparent: "00-1-2-01" } }).config();
  expect(seen).toEqual(["GET /pantree/api/v1/config 00-1-2-01"]);
});

test("archetypes reads every page", async () => {
  const [, url] = await serve((request, response) => {
    const token = new URL(request.url ?? "", "http://loopback").searchParams.get("page_token");
    const page = token === null ? { archetypes: [{ id: "one" }], next_page_token: "a&b" } : { archetypes: [{ id: token }], next_page_token: "" };
    send(response, 200, { ...page, default_archetype: "one" });
  });
  const { archetypes, default_archetype } = await new PantreeClient(url).archetypes();
  expect(archetypes.map(({ id }) => id)).toEqual(["one", "a&b"]);
  expect(default_archetype).toBe("one");
});

test("health returns the state of an unavailable mesh", async () => {
  const document = { status: "unavailable", components: {}, version: "0.1.0" };
  const [, url] = await serve((_request, response) =>
    response.writeHead(503, { "Content-Type": "application/json" }).end(JSON.stringify(document)),
  );
  expect(await new PantreeClient(url).health()).toEqual(document);
});

test("stream is retried before its first event", async () => {
  const { url, seen } = await serveSockets(["refuse", "drop", "answer"]);
  expect(await kindsOf(new PantreeClient(url, { WebSocket }))).toEqual(["started", "completed"]);
  expect(seen.connections).toBe(3);
  expect(seen.path).toBe("/ws/stream/cust_001");
  expect(seen.requests.map((text) => JSON.parse(text))).toEqual(Array(2).fill({ items: BASKET.items }));
});

test("stream gives up after maxAttempts", async () => {
  const { url, seen } = await serveSockets(["refuse", "refuse", "refuse"]);
  const error = await kindsOf(new PantreeClient(url, { WebSocket, maxAttempts: 2 })).catch((one: unknown) => one);
  expect(error).toBeInstanceOf(ComponentUnavailableError);
  expect(seen.connections).toBe(2);
});

test("stream resumes after a lost connection", async () => {
  const { url, seen } = await serveSockets(["cut", "refuse", "resume"]);
  expect(await kindsOf(new PantreeClient(url, { WebSocket }))).toEqual(["started", "completed"]);
  expect(seen.connections).toBe(3);
  const requests = seen.requests.map((text) => JSON.parse(text));
  expect(requests).toEqual([{ items: BASKET.items }, { items: BASKET.items, resume_token: "after the first" }]);
});

test("stream without resume tokens is not retried after its first event", async () => {
  const { url, seen } = await serveSockets(["drop after started", "answer"]);
  const error = await kindsOf(new PantreeClient(url, { WebSocket })).catch((one: unknown) => one);
  expect(error).toBeInstanceOf(ComponentUnavailableError);
  expect((error as Error).message).toContain("1012 before the result: the gateway stops");
  expect(seen.connections).toBe(1);
});

test("stream without a WebSocket throws a helpful error", async () => {
  const own = globalThis.WebSocket;
  // @ts-expect-error Node.js 20 has none.
  delete globalThis.WebSocket;
  try {
    await expect(kindsOf(new PantreeClient("http://127.0.0.1:2"))).rejects.toThrow('import { WebSocket } from "ws"');
  } finally {
    if (own) globalThis.WebSocket = own;
  }
});

test("credentials are sent with requests and WebSockets, a token function is called for each", async () => {
  const headers: (string | undefined)[][] = [];
  const [server, url] = await serve((request, response) => {
    headers.push([request.headers["x-api-key"] as string | undefined, request.headers.authorization]);
    send(response, 200, {});
  });
  let number = 0;
  await new PantreeClient(url, { apiKey: "secret" }).config();
  const withToken = new PantreeClient(url, { token: () => `token ${++number}`, WebSocket });
  await withToken.config();
  await withToken.config();
  expect(headers).toEqual([["secret", undefined], [undefined, "Bearer token 1"], [undefined, "Bearer token 2"]]);

  const protocols: (string | undefined)[] = [];
  server.on("upgrade", (request, socket) => {
    protocols.push(request.headers["sec-websocket-protocol"]);
    socket.end("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  });
  const client = new PantreeClient(url, { apiKey: "secret", maxAttempts: 1, WebSocket });
  await expect(client.stream(BASKET).next()).rejects.toBeInstanceOf(ComponentUnavailableError);
  expect(protocols).toEqual(["pantree,bearer.secret"]);
});

test("retries are reported, and can be made at once", async () => {
  let requests = 0;
  const [, url] = await serve((_request, response) => {
    if (++requests < 3) send(response, 503, UNAVAILABLE);
    else send(response, 200, {});
  });
  const retries: number[] = [];
  const client = new PantreeClient(url, {
    onRetry: ({ attempt, seconds, error, now }) => {
      expect(error).toBeInstanceOf(ComponentUnavailableError);
      expect(seconds).toBeGreaterThan(0);
      retries.push(attempt);
      now();
    },
  });
  await client.config();
  expect(retries).toEqual([1, 2]);
});

test("a socket that is closed for wrong credentials is not tried again", async () => {
  const [server, url] = await serve((_request, response) => send(response, 404, {}));
  let connections = 0;
  const sockets = new WebSocketServer({ server });
  sockets.on("connection", (socket) => {
    connections++;
    socket.close(4401, "the key is unknown");
  });
  const client = new PantreeClient(url, { apiKey: "wrong", WebSocket });
  await expect(client.stream(BASKET).next()).rejects.toMatchObject({ name: "UnauthenticatedError", message: "the key is unknown" });
  expect(connections).toBe(1);
  server.close();
});

test("a file is sent as it is", async () => {
  const bodies: string[] = [];
  const [, url] = await serve((request, response) => {
    request.setEncoding("utf8").on("data", (text: string) => bodies.push(`${request.url} ${request.headers["content-type"]} ${text}`));
    request.on("end", () => send(response, 200, { problems: [] }));
  });
  const report = await new PantreeClient(url).readPurchaseFile(new Blob(["date,item\n"]), "decimal=.");
  expect(report).toEqual({ problems: [] });
  expect(bodies).toEqual(["/api/v1/purchase-files?decimal=. application/octet-stream date,item\n"]);
});
