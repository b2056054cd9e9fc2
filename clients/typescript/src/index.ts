/** Typed client of Pantree's gateway, for browsers and Node.js. */
export {
  PantreeClient,
  type Archetypes,
  type CallOptions,
  type ClientOptions,
  type ComponentHealth,
  type Health,
  type Retry,
} from "./client.js";
export type { WebSocketConstructor, WebSocketLike } from "./conversation.js";
export {
  ComponentUnavailableError,
  DeadlineExceededError,
  DeadlineTooShortError,
  InternalError,
  InvalidInputError,
  NotFoundError,
  OverloadedError,
  PantreeError,
  PermissionDeniedError,
  StoreMismatchError,
  TooLargeError,
  UnauthenticatedError,
  type FieldProblem,
  type Problem,
} from "./errors.js";
export type * from "./generated/rest.js";
/** Route of each public method of the contract. */
export * as ROUTES from "./generated/routes.js";
