import { createServer, request as forward } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { checkAxe, expect, picture, test } from "./page.js";

const KEYED = process.env["PANTREE_KEYED_URL"];

test("parts, versions, models and links", async ({ page }) => {
  await page.goto("app/#/system");
  await expect(page.locator("tbody tr")).toHaveCount(8);
  await expect(page.locator(".verdict")).toContainText("Everything works.");
  await expect(page.locator("tbody tr").filter({ hasText: "recommendation" })).toContainText("0.1.0");
  await expect(page.locator(".model").first()).toBeVisible();
  await page.locator(".model summary").first().click();
  await expect(page.locator(".model").first()).toContainText("Made from");
  await checkAxe(page);
  await picture(page, "system-light");
  await page.emulateMedia({ colorScheme: "dark" });
  await checkAxe(page);
  await page.setViewportSize({ width: 360, height: 740 });
  await picture(page, "system-phone", { fullPage: true });
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
  await page.getByRole("link", { name: "API, to try out" }).click();
  await expect(page.locator("#swagger-ui .opblock").first()).toBeVisible();
});

test("below a prefix that a proxy removes", async ({ page, baseURL }) => {
  const target = new URL(baseURL ?? "");
  const proxy = createServer((incoming, outgoing) => {
    const path = incoming.url?.replace(/^\/shop\/pantree/, "") ?? "";
    if (path === incoming.url) return outgoing.writeHead(404).end();
    const options = { host: target.hostname, port: target.port, path, method: incoming.method, headers: incoming.headers };
    incoming.pipe(forward(options, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    }));
  });
  proxy.on("upgrade", (incoming, socket) => {
    const upstream = connect(Number(target.port), target.hostname, () => {
      const headers = Object.entries(incoming.headers).map(([name, value]) => `${name}: ${value}\r\n`).join("");
      upstream.write(`GET ${incoming.url?.replace(/^\/shop\/pantree/, "")} HTTP/1.1\r\n${headers}\r\n`);
      upstream.pipe(socket).pipe(upstream);
    });
    upstream.on("error", () => socket.destroy());
    socket.on("error", () => upstream.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const root = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}/shop/pantree`;
  try {
    await page.goto(`${root}/`);
    await expect(page).toHaveURL(`${root}/app/`);
    await page.getByLabel("Months").first().fill("2");
    await page.getByRole("button", { name: "Show me" }).click();
    await expect(page.locator(".status")).toHaveText("2 months shown.");
    await page.goto(`${root}/docs`);
    await expect(page.locator("#swagger-ui .opblock").first()).toBeVisible();
  } finally {
    proxy.closeAllConnections();
    proxy.close();
  }
});

test.describe("with a key", () => {
  test.use({ expectedErrors: /status of 401/ });
  test.skip(!KEYED, "needs a gateway with a key");

  test("a refused key is said, a known one leads back to where it was asked", async ({ page }) => {
    await page.goto(`${KEYED}/app/#/try?b=Milk*5.49*2&m=2&s=3&d=2026-11-29`);
    await expect(page.getByRole("heading", { name: "This gateway asks for a key" })).toBeVisible();
    await checkAxe(page);
    await picture(page, "key-light");
    await page.getByLabel("Key or token").fill("wrong");
    await page.getByRole("button", { name: "Use this key" }).click();
    await expect(page.getByRole("alert")).toHaveText("The gateway does not know this key.");
    await page.getByLabel("Key or token").fill("the-right-key");
    await page.getByRole("button", { name: "Use this key" }).click();
    // The WebSocket is allowed, too.
    await expect(page.locator(".status")).toHaveText("2 months shown.");
    expect(page.url()).not.toContain("right");
  });
});

test("an unknown view is said, and the way back works", async ({ page }) => {
  await page.goto("app/#/nothing");
  await expect(page.getByRole("heading")).toHaveText("There is no such view.");
  await page.getByRole("link", { name: "System" }).click();
  await expect(page.locator("#main")).toBeFocused();
});
