import { checkAxe, expect, picture, shift, test } from "./page.js";

test("months arrive, then the plan; the link gives the same answer", async ({ page, context }) => {
  await page.goto("app/");
  await expect(page.locator(".basket li")).toHaveCount(4);
  await page.getByRole("radio").nth(1).check();
  await page.getByLabel("Months").first().fill("4");
  await checkAxe(page);
  const before = await shift(page);
  await page.getByRole("button", { name: "Show me" }).click();
  await expect(page.locator(".status")).toHaveText("4 months shown.");
  await expect(page.locator(".cards > li").first()).toBeVisible();
  // New results below push nothing that was there.
  expect((await shift(page)) - before).toBeLessThan(0.02);
  await expect(page.locator(".try .chart figcaption").first()).toContainText("4 months,");
  await checkAxe(page);
  const answer = ".card h3, .card .lead, .card .value, .card .reasons";
  const first = await page.locator(answer).allTextContents();

  const other = await context.newPage();
  await other.goto(page.url());
  await expect(other.locator(".status")).toHaveText("4 months shown.");
  expect(await other.locator(answer).allTextContents()).toEqual(first);
  expect(other.url()).not.toContain("key");
});

test("the chart can be read with the keyboard and as a table", async ({ page }) => {
  await page.goto("app/#/try?b=Milk*5.49*2&m=3&s=3&d=2026-11-29");
  await expect(page.locator(".status")).toHaveText("3 months shown.");
  const cursor = page.getByRole("slider").first();
  await cursor.focus();
  await page.keyboard.press("End");
  const last = await cursor.getAttribute("aria-valuetext");
  await page.keyboard.press("ArrowLeft");
  await expect(cursor).not.toHaveAttribute("aria-valuetext", last ?? "");
  await page.getByText("Show as a table").first().click();
  await expect(page.locator("table").first().locator("tbody tr")).toHaveCount(3);
  await expect(page.locator("table").first().locator("tbody tr").nth(2)).toContainText(last?.split(": ")[1] ?? "?");
});

test("wrong fields are named at the field, and the first has the focus", async ({ page }) => {
  await page.goto("app/");
  await expect(page.locator(".basket li")).toHaveCount(4);
  await page.getByLabel("Price").nth(1).fill("much");
  await page.getByLabel("Quantity").nth(2).fill("1.5");
  await page.getByRole("button", { name: "Show me" }).click();
  await expect(page.getByLabel("Price").nth(1)).toBeFocused();
  await expect(page.locator(".fault")).toContainText(["Give a price of 0 or more.", "Give a whole number"]);
  await checkAxe(page);
  await page.getByRole("button", { name: "Remove Milk" }).click();
  await expect(page.locator(".basket li")).toHaveCount(3);
});

test("what was typed before the shoppers arrived stays", async ({ page }) => {
  let release = (): void => {};
  const released = new Promise<void>((resolve) => { release = resolve; });
  await page.route("**/api/v1/archetypes", async (request) => {
    await released;
    await request.continue();
  });
  await page.goto("app/");
  await page.getByLabel("Months").first().fill("2");
  await page.getByRole("button", { name: "Add an item" }).click();
  await page.locator("#name-0").fill("Oat Milk");
  await page.locator("#price-0").fill("3.99");
  release();
  await expect(page.getByRole("radio", { checked: true })).toHaveCount(1);
  await expect(page.getByLabel("Months").first()).toHaveValue("2");
  await expect(page.locator("#name-0")).toHaveValue("Oat Milk");
  await expect(page.locator(".basket li")).toHaveCount(1);
  await page.getByRole("button", { name: "Show me" }).click();
  await expect(page.locator(".status")).toHaveText("2 months shown.");
});

test("names complete from the catalog with their usual price", async ({ page }) => {
  await page.goto("app/");
  await expect(page.locator(".basket li")).toHaveCount(4);
  await page.getByRole("button", { name: "Add an item" }).click();
  await expect(page.locator("#name-4")).toBeFocused();
  await page.locator("#name-4").fill("Oat Milk");
  await expect(page.locator("#price-4")).toHaveValue(/\d\.\d\d/);
});

test("a lost connection is resumed, and nothing is lost", async ({ page }) => {
  let connections = 0;
  await page.routeWebSocket(/\/ws\//, (socket) => {
    const server = socket.connectToServer();
    const number = ++connections;
    let messages = 0;
    server.onMessage((message) => {
      socket.send(message);
      // After two months, the line is cut.
      if (number === 1 && ++messages === 3) void socket.close({ code: 3000, reason: "cut" });
    });
  });
  await page.goto("app/#/try?b=Milk*5.49*2~Bananas*1.99*1&m=5&s=3&d=2026-11-29");
  await expect(page.locator(".status")).toHaveText("5 months shown.");
  expect(connections).toBe(2);
  await page.getByText("Show as a table").first().click();
  await expect(page.locator("table").first().locator("tbody tr")).toHaveCount(5);
});

test("a stop ends it, and what came stays", async ({ page }) => {
  await page.routeWebSocket(/\/ws\//, (socket) => {
    const server = socket.connectToServer();
    let messages = 0;
    server.onMessage((message) => {
      if (++messages <= 3) socket.send(message);
    });
  });
  await page.goto("app/#/try?b=Milk*5.49*2&m=6&s=3&d=2026-11-29");
  await expect(page.locator(".status")).toHaveText("Month 2 of 6");
  await page.getByRole("button", { name: "Stop" }).click();
  await expect(page.locator(".status")).toHaveText("Stopped. Nothing more arrives.");
  await expect(page.locator("progress")).toHaveJSProperty("value", 2);
});

test("runs leave nothing behind", async ({ page }) => {
  await page.goto("app/#/try?b=Milk*5.49*2&m=1&s=3&d=2026-11-29");
  const status = page.locator(".status");
  await expect(status).toHaveText("1 month shown.");
  const session = await page.context().newCDPSession(page);
  const counts = async (): Promise<{ nodes: number; jsEventListeners: number }> => {
    await session.send("HeapProfiler.collectGarbage");
    const { nodes, jsEventListeners } = await session.send("Memory.getDOMCounters");
    return { nodes, jsEventListeners };
  };
  const again = async (runs: number): Promise<void> => {
    for (let run = 0; run < runs; run++) {
      // Waited for from its start on, since it may close before the click is done.
      const closed = page.waitForEvent("websocket").then((stream) => stream.waitForEvent("close"));
      await page.getByRole("button", { name: "Show me" }).click();
      await closed;
      await expect(status).toHaveAttribute("data-phase", "done");
    }
  };
  await again(2);
  const before = await counts();
  await again(8);
  const after = await counts();
  // One run has some 20 listeners and 400 nodes.
  expect(after.jsEventListeners - before.jsEventListeners).toBeLessThan(20);
  expect(after.nodes - before.nodes).toBeLessThan(400);
});

test("nothing shifts while the page loads and months arrive; a link leads to one's own purchases", async ({ page }) => {
  await page.goto("app/#/try?b=Milk*5.49*2~Bananas*1.99*1&m=3&s=3&d=2026-11-29");
  await expect(page.locator(".status")).toHaveText("3 months shown.");
  await expect(page.locator(".cards > li").first()).toBeVisible();
  expect(await shift(page)).toBeLessThan(0.02);
  await page.getByRole("link", { name: "Use purchases of your own" }).first().click();
  await expect(page.getByText("Drop a file here")).toBeVisible();
});

test("hostile names appear as they are", async ({ page }) => {
  const names = ["<script>alert(1)</script>", "[/6 pieces]", "خبز أبيض", "🥛 Milk & co", 'a*b~c\\d"'];
  await page.goto("app/");
  await expect(page.locator(".basket li")).toHaveCount(4);
  for (const [at, name] of names.entries()) {
    if (at >= 4) await page.getByRole("button", { name: "Add an item" }).click();
    await page.locator(`#name-${at}`).fill(name);
    await page.locator(`#price-${at}`).fill("2.50");
  }
  await page.getByLabel("Months").first().fill("2");
  await page.getByRole("button", { name: "Show me" }).click();
  await expect(page.locator(".status")).toHaveText("2 months shown.");
  await page.reload();
  await expect(page.locator(".basket li")).toHaveCount(5);
  for (const [at, name] of names.entries()) await expect(page.locator(`#name-${at}`)).toHaveValue(name);
});

test("pictures of Try it", async ({ page }) => {
  await page.goto("app/#/try?b=Bananas*1.99*1~Chicken%20Breast*12.99*1&a=health_conscious&m=6&s=8&d=2026-11-26");
  await expect(page.locator(".cards > li").first()).toBeVisible();
  await expect(page.locator(".try .plot svg").first()).toBeVisible();
  await page.waitForTimeout(600);
  await picture(page, "try-light");
  await page.emulateMedia({ colorScheme: "dark" });
  await picture(page, "try-dark");
  await checkAxe(page);
  await page.setViewportSize({ width: 360, height: 740 });
  await page.waitForTimeout(400);
  await picture(page, "try-phone");
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
});
