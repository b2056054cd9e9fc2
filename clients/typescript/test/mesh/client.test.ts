// Runs against a mesh, in Node.js and in Chromium.
import {
  ComponentUnavailableError,
  DeadlineExceededError,
  InvalidInputError,
  PantreeClient,
  ROUTES,
  type ProcessInput,
  type StreamProcessEvent,
} from "pantree-client";
import { expect, inject, test } from "vitest";

const pantree = new PantreeClient(inject("gateway"));

const FIRST_PURCHASE: ProcessInput = {
  customer_id: "cust 001 ä",
  items: [
    { name: "Bananas", price: 1.99 },
    { name: "Milk", price: 5.49 },
  ],
  archetype: "health_conscious",
  seed: 2,
  as_of: "2026-11-23",
};

async function collect(events: AsyncIterable<StreamProcessEvent>): Promise<StreamProcessEvent[]> {
  const collected = [];
  for await (const event of events) collected.push(event);
  return collected;
}

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => expect.unreachable("the call succeeded"),
    (error: unknown) => error,
  );
}

test("stream yields started, six months with progress, and the recommendations", async () => {
  const progress: number[] = [];
  const kinds: string[] = [];
  for await (const event of pantree.stream(FIRST_PURCHASE)) {
    kinds.push(event.type);
    if (event.type === "started") expect(event.data.month_count).toBe(6);
    if (event.type === "monthly_update") {
      expect(event.data.month_display).toMatch(/^[A-Z][a-z]+ \d{4}$/);
      expect(event.data.purchases.length).toBe(event.data.purchase_count);
      progress.push(event.data.progress);
    }
    if (event.type === "completed") {
      expect(event.data.recommendations.recommendations.length).toBeGreaterThan(0);
      expect(event.data.warnings).toEqual([]);
    }
  }
  expect(kinds).toEqual(["started", ...Array<string>(6).fill("monthly_update"), "completed"]);
  expect(progress).toEqual([...progress].sort((one, other) => one - other));
  expect(progress.at(-1)).toBe(100);
});

test("process and stream return the same result", async () => {
  const result = await pantree.process(FIRST_PURCHASE);
  const events = await collect(pantree.stream(FIRST_PURCHASE));
  expect(events.at(-1)).toMatchObject({ type: "completed", data: result });
  expect(result.customer_id).toBe(FIRST_PURCHASE.customer_id);
});

test("nextBasket returns items that were bought before, the most probable first", async () => {
  const history = Array.from({ length: 8 }, (_, week) => ({
    name: "Milk",
    price: 1.49,
    date: new Date(Date.UTC(2026, 5, 1 + 7 * week)).toISOString().slice(0, 10),
  }));
  const basket = await pantree.nextBasket({ customer_id: "cust_001", history, mode: "BASKET_MODE_REPEAT" });
  expect(basket.as_of).toBe("2026-07-27");
  expect(basket.items.map(({ name, purchase_count }) => [name, purchase_count])).toEqual([["Milk", 8]]);
});

test("two concurrent streams are independent", async () => {
  const [one, other] = await Promise.all([
    collect(pantree.stream({ ...FIRST_PURCHASE, customer_id: "one" })),
    collect(pantree.stream({ ...FIRST_PURCHASE, customer_id: "other", simulation_months: 2 })),
  ]);
  expect(one.length).toBe(8);
  expect(other.length).toBe(4);
  expect(other[0]?.data).toMatchObject({ customer_id: "other" });
});

test.each(["process", "stream"] as const)("%s names every invalid field", async (method) => {
  const invalid = { ...FIRST_PURCHASE, simulation_months: 99, items: [{ name: "", price: -1 }] };
  const error = await failure(method === "process" ? pantree.process(invalid) : collect(pantree.stream(invalid)));
  expect(error).toBeInstanceOf(InvalidInputError);
  const { code, fields, status, traceId, message } = error as InvalidInputError;
  expect(code).toBe("INVALID_INPUT");
  expect(status).toBe(400);
  expect(fields.map(({ field }) => field).sort()).toEqual(["items[0].name", "items[0].price", "simulation_months"]);
  expect(traceId).toMatch(/^[0-9a-f]{32}$/);
  expect(message).toContain("simulation_months");
});

test("stream takes a customer ID with a slash", async () => {
  const events = await collect(pantree.stream({ ...FIRST_PURCHASE, customer_id: "shop/17" }));
  expect(events.at(-1)).toMatchObject({ type: "completed", data: { customer_id: "shop/17" } });
});

test("the timeout is sent to the mesh, which reports it", async () => {
  // A new customer: the gateway caches answers.
  const request = { ...FIRST_PURCHASE, customer_id: "not cached" };
  const error = await failure(pantree.process(request, { timeoutSeconds: 0.01 }));
  expect(error).toBeInstanceOf(DeadlineExceededError);
  expect((error as DeadlineExceededError).status).toBe(504);
});

test("a stream that takes too long throws DeadlineExceededError", async () => {
  const error = await failure(
    (async () => {
      for await (const event of pantree.stream({ ...FIRST_PURCHASE, simulation_months: 60 }, { timeoutSeconds: 0.001 })) {
        expect(event.type).not.toBe("completed");
      }
    })(),
  );
  expect(error).toBeInstanceOf(DeadlineExceededError);
});

test("an abort during a stream throws the reason of the caller", async () => {
  const controller = new AbortController();
  const reason = new Error("the page was left");
  const error = await failure(
    (async () => {
      for await (const event of pantree.stream(FIRST_PURCHASE, { signal: controller.signal })) {
        expect(event.type).not.toBe("completed");
        if (event.type === "started") controller.abort(reason);
      }
    })(),
  );
  expect(error).toBe(reason);
});

test("process rejects an aborted signal", async () => {
  const reason = new Error("not wanted any more");
  expect(await failure(pantree.process(FIRST_PURCHASE, { signal: AbortSignal.abort(reason) }))).toBe(reason);
});

test("the client is usable after leaving a stream", async () => {
  for await (const event of pantree.stream(FIRST_PURCHASE)) {
    if (event.type === "monthly_update") break;
  }
  expect((await collect(pantree.stream(FIRST_PURCHASE))).length).toBe(8);
});

test("a real history is not simulated", async () => {
  const history = Array.from({ length: 12 }, (_, week) => ({
    name: "Milk",
    price: 1.5,
    date: new Date(Date.UTC(2026, 5, 1 + 7 * week)).toISOString().slice(0, 10),
  }));
  const { recommendations, history_summary, seed } = await pantree.process({ customer_id: "real", history });
  expect(recommendations.recommendations[0]).toMatchObject({
    name: "Milk",
    count: 12,
    avg_interval: 7,
    subscription: { frequency: "weekly", interval_days: 7 },
  });
  expect(history_summary.simulated).toBe(false);
  expect(seed).toBe(0);
});

test("archetypes returns valid archetypes of a request", async () => {
  const { archetypes, default_archetype } = await pantree.archetypes();
  const ids = archetypes.map(({ id }) => id);
  expect(ids).toEqual(expect.arrayContaining(["health_conscious", "busy_family", default_archetype]));
});

test("config returns limits and parts", async () => {
  const config = await pantree.config();
  expect(config.default_simulation_months).toBe(6);
  expect(config.cadences[0]).toEqual({ frequency: "weekly", interval_days: 7 });
  expect(config.components.map(({ name }) => name)).toContain("frequency");
});

test("health returns every part", async () => {
  const health = await pantree.health();
  expect(health.status).toBe("healthy");
  expect(health.components["pipeline"]).toMatchObject({ status: "healthy", required: true });
});

test("an unreachable gateway throws ComponentUnavailableError", async () => {
  const unreachable = new PantreeClient("http://127.0.0.1:2", { maxAttempts: 2 });
  for (const call of [() => unreachable.process(FIRST_PURCHASE), () => collect(unreachable.stream(FIRST_PURCHASE))]) {
    const error = await failure(call());
    expect(error).toBeInstanceOf(ComponentUnavailableError);
    expect((error as ComponentUnavailableError).component).toBe("gateway");
  }
});

/** Routes of stored customers are for back ends: a page must not append, export or erase what is stored. */
type ForBackEnds =
  | "appendPurchases"
  | "correctPurchases"
  | "mergeCustomers"
  | "listPurchases"
  | "exportCustomer"
  | "eraseCustomer"
  | "getRecommendations"
  | "getNextBasket"
  | "createOffer"
  | "listOffers"
  | "createSubscription"
  | "getSubscription"
  | "getTestClock"
  | "advanceTestClock"
  | "recordDelivery"
  | "listDeliveries"
  | "createWebhook"
  | "listWebhooks"
  | "deleteWebhook"
  | "testWebhook"
  | "rotateWebhookSecret"
  | "replayWebhook"
  | "listDeadLetters";

test("the client covers every public method of the contract that pages may call", () => {
  const methods: Record<Exclude<keyof typeof ROUTES, ForBackEnds>, keyof PantreeClient> = {
    process: "process",
    streamProcess: "stream",
    getConfig: "config",
    getStatus: "status",
    getModels: "models",
    listArchetypes: "archetypes",
    listCatalogItems: "catalogItems",
    nextBasket: "nextBasket",
    plan: "plan",
    whatIf: "streamWhatIf",
    getWhatIf: "whatIf",
    reviewSubscriptions: "reviewSubscriptions",
    listSubscriptions: "subscriptions",
    changeSubscription: "changeSubscription",
    pauseSubscriptions: "pauseSubscriptions",
    resumeSubscriptions: "resumeSubscriptions",
    listEvents: "subscriptionEvents",
  };
  for (const method of Object.values(methods)) expect(pantree[method]).toBeTypeOf("function");
});
