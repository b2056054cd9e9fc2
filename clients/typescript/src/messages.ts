/**
 * The contract's messages for protobuf-es, for programs that use gRPC or store answers in binary form:
 * `fromJson(ProcessResultSchema, result)`. It needs the package `@bufbuild/protobuf`; the client itself does not.
 */
export * from "./generated/messages/pantree/catalog/v1/catalog_pb.js";
export * from "./generated/messages/pantree/error/v1/error_pb.js";
export * from "./generated/messages/pantree/frequency/v1/frequency_service_pb.js";
export * from "./generated/messages/pantree/model/v1/model_pb.js";
export * from "./generated/messages/pantree/pipeline/v1/pipeline_service_pb.js";
export * from "./generated/messages/pantree/purchase/v1/purchase_pb.js";
export * from "./generated/messages/pantree/recommendation/v1/recommendation_service_pb.js";
export * from "./generated/messages/pantree/simulation/v1/simulation_service_pb.js";
export * from "./generated/messages/pantree/vector/v1/vector_service_pb.js";
// Recommendation has messages of the same names, which only the pipeline uses.
export {
  type ReviewSubscriptionsRequest,
  ReviewSubscriptionsRequestSchema,
  type ReviewSubscriptionsResponse,
  ReviewSubscriptionsResponseSchema,
} from "./generated/messages/pantree/pipeline/v1/pipeline_service_pb.js";
