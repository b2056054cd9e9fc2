// Generated from the contract by `npm run generate`. Do not edit.

/** Route of each public method of the contract. */
export const ROUTES = {
  process: { verb: "POST", path: "/api/v1/process" },
  streamProcess: { verb: "WEBSOCKET", path: "/ws/stream/{customer_id}" },
  nextBasket: { verb: "POST", path: "/api/v1/next-basket" },
  getConfig: { verb: "GET", path: "/api/v1/config" },
  listArchetypes: { verb: "GET", path: "/api/v1/archetypes" },
} as const;
