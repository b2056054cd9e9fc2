// The JSON of the gateway has exactly the fields of the contract's messages.
import { fromJson, toJson } from "@bufbuild/protobuf";
import { PantreeClient } from "pantree-client";
import { expect, inject, test } from "vitest";
import { GetConfigResponseSchema, ListArchetypesResponseSchema, ProcessResultSchema } from "../../dist/messages.js";

const pantree = new PantreeClient(inject("gateway"));

test("an answer converts to a protobuf-es message and back", async () => {
  const items = [{ name: "Bananas", price: 1.99 }];
  const result = await pantree.process({ customer_id: "cust_001", items, include_omitted: true });
  const message = fromJson(ProcessResultSchema, result as never);
  expect(message.recommendationId).toBe(result.recommendation_id);
  expect(message.recommendations?.recommendations.length).toBe(result.recommendations.recommendations.length);
  expect(toJson(ProcessResultSchema, message, { alwaysEmitImplicit: true, useProtoFieldName: true })).toEqual(result);
});

test("config and archetypes convert to messages", async () => {
  expect(fromJson(GetConfigResponseSchema, (await pantree.config()) as never).maxItems).toBe(100);
  const { archetypes } = fromJson(ListArchetypesResponseSchema, (await pantree.archetypes()) as never);
  expect(archetypes[0]?.meanTripGapDays).toBeGreaterThan(0);
});
