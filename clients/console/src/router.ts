/** Routes behind `#`, which reach no server and no log. */
import { signal } from "@preact/signals";

export interface Route {
  /** Such as `/try`; without a trailing slash. */
  path: string;
  query: URLSearchParams;
}

export function parseRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#/, "").split(/\?(.*)/s);
  return { path: path.replace(/\/+$/, "") || "/try", query: new URLSearchParams(query) };
}

export const route = signal<Route>(parseRoute(globalThis.location?.hash ?? ""));

export function followHash(): void {
  addEventListener("hashchange", () => {
    route.value = parseRoute(location.hash);
  });
}

/** Goes to a route; with `replace`, without an entry in the history. */
export function go(target: string, replace = false): void {
  if (replace) {
    history.replaceState(null, "", `#${target}`);
    route.value = parseRoute(target);
  } else {
    location.hash = target;
  }
}
