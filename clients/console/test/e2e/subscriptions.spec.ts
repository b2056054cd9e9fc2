import type { APIRequestContext, Locator, Page } from "@playwright/test";
import { checkAxe, expect, picture, test } from "./page.js";

const STORED = process.env["PANTREE_STORED_URL"] ?? "";

/** A day, ISO 8601, so many days from now. */
const day = (days: number): string => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);

async function post(request: APIRequestContext, path: string, data: object): Promise<void> {
  const answer = await request.post(`${STORED}/api/v1/${path}`, { data });
  expect(answer.status(), await answer.text()).toBe(200);
}

/** A household with four subscriptions: one that brings too much, one that an engine keeps, one that has ended, one without a past. */
async function fill(request: APIRequestContext, customer: string): Promise<void> {
  const own = `customers/${customer}/subscriptions`;
  const begin = (name: string, item: object, days: number, unit: string, count: number, quantity: number): Promise<void> =>
    post(request, own, {
      subscription_id: `${customer}-${name}`,
      item,
      quantity,
      anchor_date: day(days),
      interval: { unit: `INTERVAL_UNIT_${unit}`, count },
    });
  await begin("milk", { name: "Whole Milk", variant: "1 l" }, -26, "WEEK", 1, 3);
  await begin("rice", { name: "Rice" }, 3, "WEEK", 4, 2);
  await begin("tea", { name: "Tea" }, 5, "WEEK", 2, 1);
  for (const sequence of [1, 2]) {
    await post(request, `${own}/${customer}-milk:record`, { sequence, report: "DELIVERY_REPORT_DELIVERED" });
    await post(request, `${own}/${customer}-milk:record`, { sequence, report: "DELIVERY_REPORT_RETURNED", quantity: 1 });
  }
  const cancellation = { reason: "too_expensive", feedback: "lower_price", comment: "The market is cheaper." };
  await post(request, `${own}/${customer}-tea:change`, { cancel: { cancellation }, actor: "customer" });
  await post(request, "engines/recharge/events", {
    subscription: {
      id: parseInt(customer, 36),
      customer_id: customer,
      status: "active",
      product_title: "Dog food",
      quantity: 2,
      order_interval_unit: "week",
      order_interval_frequency: 2,
      next_charge_scheduled_at: day(6),
      updated_at: `${day(-1)}T10:00:00`,
    },
  });
}

const card = (page: Page, item: string): Locator => page.locator(".subscription").filter({ has: page.locator("h3", { hasText: item }) });

/** Checks a page that is not scrolled: nothing is below its header then. */
async function atTop(page: Page): Promise<void> {
  await page.evaluate(() => scrollTo(0, 0));
  await checkAxe(page);
}

const unfold = (inside: Locator, name: string): Promise<void> => inside.locator("summary").filter({ hasText: name }).click();

async function find(page: Page, customer: string): Promise<void> {
  await page.goto(`${STORED}/app/#/subscriptions`);
  await page.getByLabel("Customer ID").fill(customer);
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await expect(page.getByRole("heading", { name: `Customer ${customer}` })).toBeVisible();
}

test("without a history part, the page says so and how to start it", async ({ page }) => {
  await page.goto("app/#/subscriptions");
  await expect(page.getByText("This gateway has no history part")).toBeVisible();
  await expect(page.getByText("pantree up")).toBeVisible();
  await expect(page.getByLabel("Customer ID")).toHaveCount(0);
  await atTop(page);
});

test.describe("with a history part", () => {
  test.skip(!STORED, "needs a gateway with a history part");

  test("a customer's subscriptions, advice and history are shown", async ({ page, request }) => {
    await fill(request, "shown");
    await page.goto(`${STORED}/app/#/subscriptions`);
    await atTop(page);
    await page.getByRole("button", { name: "Show", exact: true }).click();
    await expect(page.getByText("Enter the ID of a customer.")).toBeVisible();
    await page.getByLabel("Customer ID").fill("nobody / at all");
    await page.getByRole("button", { name: "Show", exact: true }).click();
    await expect(page.getByText("No subscriptions are stored for this customer.")).toBeVisible();
    await find(page, "shown");
    await expect(page.getByText("3 running subscriptions, 1 ended.")).toBeVisible();
    // What is urgent comes first.
    await expect(page.locator(".subscription h3").first()).toHaveText("Whole Milk · 1 l");
    const milk = card(page, "Whole Milk");
    await expect(milk).toContainText("3 units every week");
    await expect(milk).toContainText("Deliver another quantity: 2 units instead of 3");
    await expect(milk).toContainText("You returned units of 2 deliveries");
    await expect(milk).toContainText(/Do it before .*: (today is the last day|\d days? left)\./);
    await unfold(milk, "The next twelve weeks");
    await expect(milk.getByRole("row", { name: /^Units delivered/ })).toHaveText("Units delivered3624");
    await unfold(milk, "What the advice is based on");
    await expect(milk).toContainText("4 deliveries arrived");
    await expect(milk).toContainText("units of 2 deliveries returned");
    await unfold(milk, "History");
    await expect(milk.getByRole("row", { name: /1 unit of delivery 2 returned/ })).toBeVisible();
    await expect(milk.getByRole("row", { name: /Started/ })).toBeVisible();
    await atTop(page);

    // What an engine keeps is changed there.
    const food = card(page, "Dog food");
    await expect(food).toContainText("Recharge keeps this subscription (its ID there:");
    await expect(food).toContainText("Change it in Recharge");
    await unfold(food, "Next deliveries");
    await expect(food.getByRole("button")).toHaveCount(0);

    await unfold(page.locator("main"), "1 ended subscription");
    await expect(card(page, "Tea")).toContainText("Reason: too expensive; would have stayed for: a lower price. ");
    await expect(card(page, "Tea")).toContainText("The market is cheaper.");
    await expect(card(page, "Tea").getByRole("group", { name: "Change the subscription" }).getByRole("button")).toHaveText(["Start again …"]);
    await atTop(page);
  });

  test.describe("with a request that is refused", () => {
    test.use({ expectedErrors: /status of 400/ });

    test("every lever changes the subscription, once, with the name of who did it", async ({ page, request }) => {
      await fill(request, "levers");
      await find(page, "levers");
      await page.getByLabel("Your name").fill("Kim");
      const rice = card(page, "Rice");
      const press = (name: string | RegExp): Promise<void> => rice.getByRole("button", { name }).click();
      const doIt = (): Promise<void> => press("Do it");
      await unfold(rice, "Next deliveries");
      await rice.getByRole("button", { name: /^Skip the delivery/ }).first().click();
      await doIt();
      await expect(rice.locator(".done")).toHaveText("The delivery is skipped.");
      await expect(rice).toContainText("skipped (has enough)");
      await rice.getByRole("button", { name: /^Undo the change/ }).first().click();
      await expect(rice.locator(".done")).toHaveText("The change of the delivery is undone.");

      await rice.getByRole("button", { name: /^Move the delivery/ }).first().click();
      await rice.getByLabel("New day").fill(day(-3));
      await doIt();
      await expect(rice.getByRole("alert").first()).toContainText("Something in the request is not right:");
      await atTop(page);
      await rice.getByLabel("New day").fill(day(4));
      await doIt();
      await expect(rice.locator(".done")).toHaveText("The delivery is moved.");
      await expect(rice).toContainText(/planned, moved from/);

      await press("How many …");
      await rice.getByLabel("Units in each delivery").fill("none");
      await doIt();
      await expect(rice.getByRole("alert")).toHaveText("Enter a whole number from 1 to 10,000.");
      await rice.getByLabel("Units in each delivery").fill("5");
      await doIt();
      await expect(rice).toContainText("5 units every 4 weeks");
      await press("How often …");
      await rice.getByLabel("Every", { exact: true }).fill("1");
      await rice.getByLabel("Unit", { exact: true }).selectOption("months");
      await doIt();
      await expect(rice).toContainText("5 units every month");

      await press("Pause …");
      await rice.getByLabel(/^Until/).fill(day(40));
      await doIt();
      await expect(rice.locator(".badge")).toContainText("Paused until");
      await press("End the pause");
      await expect(rice.locator(".badge")).toContainText("Active");

      await press("Send now …");
      await expect(rice).toContainText("An order that is placed cannot be undone.");
      await press("Back");
      await press("Cancel …");
      await rice.getByLabel("Why?").selectOption("not needed anymore");
      await rice.getByLabel("What the customer said").fill("We moved in together.");
      await press("Continue");
      // Nothing has happened yet.
      await expect(rice).toContainText("Cancel Rice now?");
      await atTop(page);
      await press("Yes, cancel it");
      await expect(page.getByText("2 running subscriptions, 2 ended.")).toBeVisible();
      await unfold(page.locator("main"), "2 ended subscriptions");
      await expect(rice).toContainText("Reason: not needed anymore");
      await unfold(rice, "History");
      await expect(rice.getByRole("row", { name: /Canceled \(not needed anymore\) support:Kim/ })).toBeVisible();
      await press("Start again …");
      await doIt();
      await expect(page.getByText("3 running subscriptions, 1 ended.")).toBeVisible();

      const milk = card(page, "Whole Milk");
      await milk.getByRole("button", { name: "Follow the advice" }).click();
      await expect(milk).toContainText("2 units every week");
      await expect(milk.locator(".done")).toHaveText("The new quantity holds for deliveries that can still be changed.");

      await page.getByRole("button", { name: "Pause all …" }).click();
      await expect(page.getByText("Subscriptions that an engine keeps are paused there.")).toBeVisible();
      await page.getByLabel(/^Until/).fill(day(20));
      await page.getByRole("button", { name: "Do it" }).click();
      await expect(page.locator("p.done", { hasText: "2 subscriptions paused." })).toBeVisible();
      await expect(page.getByText(/The customer is paused until .*: nothing is delivered/)).toBeVisible();
      await expect(milk.locator(".badge")).toContainText("with all of the customer");
      await atTop(page);
      await page.getByRole("button", { name: "End the pause of all" }).click();
      await expect(page.locator("p.done", { hasText: "2 subscriptions continue." })).toBeVisible();

      const events = (await (await request.get(`${STORED}/api/v1/customers/levers/subscriptions/levers-rice/events`)).json()).events as { type: string; actor: string }[];
      const names = events.filter(({ actor }) => actor === "support:Kim").map(({ type }) => type.split(".").at(-1));
      expect(names).toEqual([
        "skipped", "restored", "moved", "quantity_changed", "interval_changed", "paused", "resumed", "cancelled", "reactivated", "paused", "resumed",
      ]);
    });
  });

  test.describe("when an answer is lost", () => {
    test.use({ expectedErrors: /ERR_FAILED/ });

    test("a repeated request changes nothing twice", async ({ page, request }) => {
      await fill(request, "again");
      await find(page, "again");
      const sent: (string | undefined)[] = [];
      // The first answer is lost after the change was made.
      await page.route("**/again-rice:change", async (route) => {
        sent.push((route.request().postDataJSON() as { request_id?: string }).request_id);
        if (sent.length > 1) return route.continue();
        await route.fetch();
        return route.abort();
      });
      const rice = card(page, "Rice");
      await unfold(rice, "Next deliveries");
      await rice.getByRole("button", { name: /^Skip the delivery/ }).first().click();
      await rice.getByRole("button", { name: "Do it" }).click();
      await expect(rice.locator(".done")).toHaveText("The delivery is skipped.");
      expect(sent).toHaveLength(2);
      expect(sent[0]).toMatch(/^console-[0-9a-f]{32}$/);
      expect(sent[1]).toBe(sent[0]);
      await unfold(rice, "History");
      await expect(rice.getByRole("row", { name: /skipped/ })).toHaveCount(2); // one of the deliveries, one of the history
    });
  });

  test.describe("when two change the same", () => {
    test.use({ expectedErrors: /status of 412/ });

    test("what somebody else changed meanwhile is shown, and nothing is done", async ({ page, request }) => {
      await fill(request, "meanwhile");
      await find(page, "meanwhile");
      const rice = card(page, "Rice");
      await expect(rice).toContainText("2 units every 4 weeks");
      await post(request, "customers/meanwhile/subscriptions/meanwhile-rice:change", { change_quantity: { quantity: 9 } });
      await rice.getByRole("button", { name: "Cancel …" }).click();
      await rice.getByRole("button", { name: "Continue" }).click();
      await rice.getByRole("button", { name: "Yes, cancel it" }).click();
      await expect(rice.getByRole("alert").first()).toContainText("Somebody else changed this subscription meanwhile");
      await expect(rice).toContainText("9 units every 4 weeks");
      await expect(rice.locator(".badge")).toContainText("Active");
      await atTop(page);
    });
  });

  test.describe("when advice fails", () => {
    test.use({ expectedErrors: /status of 503/ });

    test("everything else is shown", async ({ page, request }) => {
      await fill(request, "advice");
      await page.route("**/subscriptions:review", (route) =>
        route.fulfill({
          status: 503,
          contentType: "application/problem+json",
          json: { type: "about:blank", title: "", status: 503, detail: "", instance: "", code: "COMPONENT_UNAVAILABLE", errors: [], trace_id: "", component: "recommendation" },
        }),
      );
      await find(page, "advice");
      await expect(page.getByText("Advice is not available at the moment; everything else works.")).toBeVisible();
      await expect(card(page, "Rice")).toContainText("Next delivery:");
      await atTop(page);
    });
  });

  test("names of items and comments are text", async ({ page, request }) => {
    await post(request, "customers/hostile/subscriptions", {
      subscription_id: "hostile-1",
      item: { name: "<img src=x onerror=alert(1)> \u202eevil" },
      anchor_date: day(2),
      interval: { unit: "INTERVAL_UNIT_DAY", count: 10 },
    });
    await find(page, "hostile");
    await expect(page.locator(".subscription h3")).toContainText("<img src=x onerror=alert(1)>");
    await expect(page.locator(".subscription img")).toHaveCount(0);
  });

  test("pictures of Subscriptions", async ({ page, request }) => {
    await fill(request, "4711");
    await page.setViewportSize({ width: 1280, height: 1000 });
    await find(page, "4711");
    const milk = card(page, "Whole Milk");
    await expect(milk).toContainText("Deliver another quantity");
    await unfold(milk, "The next twelve weeks");
    await unfold(milk, "What the advice is based on");
    await unfold(milk, "Next deliveries");
    await unfold(milk, "History");
    await expect(milk.getByRole("row", { name: /Started/ })).toBeVisible();
    await page.evaluate(() => scrollTo(0, 0));
    await picture(page, "subscriptions-light", { fullPage: true });
    await page.emulateMedia({ colorScheme: "dark" });
    await card(page, "Rice").getByRole("button", { name: "Cancel …" }).click();
    await page.evaluate(() => scrollTo(0, 0));
    await picture(page, "subscriptions-dark", { fullPage: true });
    await atTop(page);
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize({ width: 360, height: 740 });
    await page.waitForTimeout(400);
    await picture(page, "subscriptions-phone", { fullPage: true });
    await atTop(page);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
  });
});
