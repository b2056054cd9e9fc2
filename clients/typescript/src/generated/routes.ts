// Generated from the contract by `npm run generate`. Do not edit.
// Route of each public method of the contract. Bundlers leave out those that are not used.

export const appendPurchases = { verb: "POST", path: "/api/v1/customers/{customer_id}/purchases" } as const;
export const correctPurchases = { verb: "POST", path: "/api/v1/customers/{customer_id}/purchases:correct" } as const;
export const listPurchases = { verb: "GET", path: "/api/v1/customers/{customer_id}/purchases" } as const;
export const exportCustomer = { verb: "GET", path: "/api/v1/customers/{customer_id}/export" } as const;
export const process = { verb: "POST", path: "/api/v1/process" } as const;
export const streamProcess = { verb: "WEBSOCKET", path: "/ws/stream/{customer_id}" } as const;
export const nextBasket = { verb: "POST", path: "/api/v1/next-basket" } as const;
export const getRecommendations = { verb: "GET", path: "/api/v1/customers/{customer_id}/recommendations" } as const;
export const getNextBasket = { verb: "GET", path: "/api/v1/customers/{customer_id}/next-basket" } as const;
export const eraseCustomer = { verb: "DELETE", path: "/api/v1/customers/{customer_id}" } as const;
export const plan = { verb: "POST", path: "/api/v1/plan" } as const;
export const whatIf = { verb: "WEBSOCKET", path: "/ws/what-if/{customer_id}" } as const;
export const getWhatIf = { verb: "POST", path: "/api/v1/what-if" } as const;
export const getConfig = { verb: "GET", path: "/api/v1/config" } as const;
export const getStatus = { verb: "GET", path: "/api/v1/status" } as const;
export const getModels = { verb: "GET", path: "/api/v1/models" } as const;
export const listArchetypes = { verb: "GET", path: "/api/v1/archetypes" } as const;
export const listCatalogItems = { verb: "GET", path: "/api/v1/catalog/items" } as const;
