// Generated from the contract by `npm run generate`. Do not edit.

/** Route of each public method of the contract. */
export const ROUTES = {
  appendPurchases: { verb: "POST", path: "/api/v1/customers/{customer_id}/purchases" },
  correctPurchases: { verb: "POST", path: "/api/v1/customers/{customer_id}/purchases:correct" },
  listPurchases: { verb: "GET", path: "/api/v1/customers/{customer_id}/purchases" },
  exportCustomer: { verb: "GET", path: "/api/v1/customers/{customer_id}/export" },
  process: { verb: "POST", path: "/api/v1/process" },
  streamProcess: { verb: "WEBSOCKET", path: "/ws/stream/{customer_id}" },
  nextBasket: { verb: "POST", path: "/api/v1/next-basket" },
  getRecommendations: { verb: "GET", path: "/api/v1/customers/{customer_id}/recommendations" },
  getNextBasket: { verb: "GET", path: "/api/v1/customers/{customer_id}/next-basket" },
  eraseCustomer: { verb: "DELETE", path: "/api/v1/customers/{customer_id}" },
  getConfig: { verb: "GET", path: "/api/v1/config" },
  listArchetypes: { verb: "GET", path: "/api/v1/archetypes" },
} as const;
