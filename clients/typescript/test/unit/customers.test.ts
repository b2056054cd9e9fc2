// Stored purchases and subscriptions, against a server on loopback that answers as the gateway does.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { InvalidInputError, NotFoundError, PantreeClient } from "../../src/index.js";

const PATH = "/api/v1/customers/cust%20001%20%C3%A4";
const CUSTOMER = "cust 001 ä";
const LINE = { order_id: "o-1", line_id: "1", name: "Milk", date: "2026-11-02" };
const LINE_WITHOUT_PRICE = { ...LINE, line_id: "2" };

let server: Server;
let pantree: PantreeClient;
let requests: string[];

beforeEach(async () => {
  requests = [];
  server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => (body += chunk));
    request.on("end", () => {
      const call = `${request.method} ${request.url} ${body}`.trim();
      requests.push(call);
      const document = ANSWERS[call];
      const type = document ? "application/json" : "application/problem+json";
      response.writeHead(document ? 200 : 404, { "Content-Type": type });
      response.end(JSON.stringify(document ?? { status: 404, code: "NOT_FOUND", detail: "nothing is stored" }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  pantree = new PantreeClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
afterEach(() => server.close());

const ANSWERS: Record<string, object> = {
  [`POST ${PATH}/purchases ${JSON.stringify({ purchases: [LINE] })}`]: { added_count: 1, duplicate_count: 0 },
  [`POST ${PATH}/purchases:correct ${JSON.stringify({ removed: [{ order_id: "o-1", line_id: "1" }] })}`]: {
    removed_count: 1,
  },
  [`GET ${PATH}/purchases?page_size=1000&page_token=`]: { purchases: [LINE], next_page_token: "a b" },
  [`GET ${PATH}/purchases?page_size=1000&page_token=a+b`]: { purchases: [LINE_WITHOUT_PRICE], next_page_token: "" },
  [`GET ${PATH}/subscriptions?page_size=1000&page_token=`]: { subscriptions: [{ subscription_id: "s 1" }], next_page_token: "b" },
  [`GET ${PATH}/subscriptions?page_size=1000&page_token=b`]: { subscriptions: [{ subscription_id: "s2" }], next_page_token: "" },
  [`GET ${PATH}/subscriptions/s%201/events?page_size=1000&page_token=`]: { events: [{ number: 1 }], next_page_token: "" },
  [`GET ${PATH}/subscriptions:review`]: { customer_id: CUSTOMER, reviews: [] },
  [`POST ${PATH}/subscriptions/s%201:change ${JSON.stringify({ etag: "1-a", request_id: "r", skip: { sequence: 2 } })}`]: {
    subscription: { subscription_id: "s 1" },
    events: [],
  },
  [`POST ${PATH}/subscriptions:pause ${JSON.stringify({ until: "2027-01-10" })}`]: { changed: [{ events: [] }] },
  [`POST ${PATH}/subscriptions:resume {}`]: { changed: [] },
  [`DELETE ${PATH}`]: { erased_at: "2026-11-23T00:00:00Z", removed: [] },
};

test("purchases are stored and corrected", async () => {
  expect(await pantree.appendPurchases({ customer_id: CUSTOMER, purchases: [LINE] })).toMatchObject({ added_count: 1 });
  const removed = [{ order_id: "o-1", line_id: "1" }];
  expect(await pantree.correctPurchases({ customer_id: CUSTOMER, removed })).toMatchObject({ removed_count: 1 });
});

test("purchases are read from all pages", async () => {
  expect(await pantree.purchases(CUSTOMER)).toEqual([LINE, LINE_WITHOUT_PRICE]);
  await expect(pantree.purchases("nobody")).rejects.toThrow(NotFoundError);
});

test("subscriptions and their events are read from all pages", async () => {
  expect((await pantree.subscriptions(CUSTOMER)).map(({ subscription_id }) => subscription_id)).toEqual(["s 1", "s2"]);
  expect(await pantree.subscriptionEvents(CUSTOMER, "s 1")).toEqual([{ number: 1 }]);
  expect(await pantree.reviewSubscriptions(CUSTOMER)).toMatchObject({ reviews: [] });
});

test("subscriptions are changed with an id of the request and an etag", async () => {
  const change = { customer_id: CUSTOMER, subscription_id: "s 1", etag: "1-a", request_id: "r", skip: { sequence: 2 } };
  expect(await pantree.changeSubscription(change)).toMatchObject({ subscription: { subscription_id: "s 1" } });
  expect((await pantree.pauseSubscriptions({ customer_id: CUSTOMER, until: "2027-01-10" })).changed).toHaveLength(1);
  expect((await pantree.resumeSubscriptions({ customer_id: CUSTOMER })).changed).toEqual([]);
});

test("an empty subscription id is refused without a request", async () => {
  await expect(pantree.subscriptionEvents(CUSTOMER, "")).rejects.toThrow("subscription_id: must have 1 to 128 characters");
  expect(requests).toEqual([]);
});

test("a customer is erased with one request", async () => {
  expect(await pantree.eraseCustomer(CUSTOMER)).toMatchObject({ erased_at: "2026-11-23T00:00:00Z" });
  expect(requests).toEqual([`DELETE ${PATH}`]);
});

test("an empty customer id is refused without a request", async () => {
  await expect(pantree.eraseCustomer("")).rejects.toThrow(InvalidInputError);
  expect(requests).toEqual([]);
});
