import "vitest";

declare module "vitest" {
  interface ProvidedContext {
    /** URL of the gateway of a running mesh. */
    gateway: string;
  }
}
