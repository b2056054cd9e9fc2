import { expect, test } from "vitest";
import { errorOfProblem, errorOfResponse } from "../../src/errors.js";
import * as pantree from "../../src/index.js";
import type { ErrorReason } from "../../src/index.js";

const problem = (code: string, status: number): pantree.Problem => ({
  type: "about:blank",
  title: "Problem",
  status,
  detail: "what is wrong",
  instance: "/api/v1/process",
  code,
  errors: [],
  trace_id: "0af7651916cd43dd8448eb211c80319c",
});

const CLASSES: Partial<Record<ErrorReason, typeof pantree.PantreeError>> = {
  INVALID_INPUT: pantree.InvalidInputError,
  NOT_FOUND: pantree.NotFoundError,
  COMPONENT_UNAVAILABLE: pantree.ComponentUnavailableError,
  DEADLINE_EXCEEDED: pantree.DeadlineExceededError,
  DEADLINE_TOO_SHORT: pantree.DeadlineTooShortError,
  STORE_MISMATCH: pantree.StoreMismatchError,
  TOO_LARGE: pantree.TooLargeError,
  OVERLOADED: pantree.OverloadedError,
  PERMISSION_DENIED: pantree.PermissionDeniedError,
  INTERNAL: pantree.InternalError,
};

test.each(Object.entries(CLASSES))("reason %s has its class", (reason, kind) => {
  const error = errorOfProblem(problem(reason, 400));
  expect(error.constructor).toBe(kind);
  expect(error).toBeInstanceOf(pantree.PantreeError);
  expect(error).toMatchObject({
    name: kind.name,
    code: reason,
    status: 400,
    message: "what is wrong",
    traceId: "0af7651916cd43dd8448eb211c80319c",
  });
});

test("an unknown reason falls back to the status, then to the base class", () => {
  expect(errorOfProblem(problem("NEWER_REASON", 503)).constructor).toBe(pantree.ComponentUnavailableError);
  expect(errorOfProblem(problem("IDEMPOTENCY_CONFLICT", 409)).constructor).toBe(pantree.PantreeError);
  expect(errorOfProblem(problem("IDEMPOTENCY_CONFLICT", 409)).code).toBe("IDEMPOTENCY_CONFLICT");
});

test("the component of a problem is kept", () => {
  const error = errorOfProblem({ ...problem("COMPONENT_UNAVAILABLE", 503), component: "frequency" });
  expect((error as pantree.ComponentUnavailableError).component).toBe("frequency");
});

test("a response of a proxy becomes an error with its status and text", async () => {
  const error = await errorOfResponse(new Response("<h1>Bad Gateway</h1>", { status: 502, statusText: "Bad Gateway" }));
  expect(error.constructor).toBe(pantree.ComponentUnavailableError);
  expect(error).toMatchObject({ status: 502, code: "HTTP_ERROR" });
  expect(error.message).toContain("<h1>Bad Gateway</h1>");
});
