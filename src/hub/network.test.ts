import assert from "node:assert/strict";
import { test } from "node:test";
import { namedWait } from "./network.ts";

test("how long a busy server wants to be left alone, in each way that it may say so", () => {
  const now = Date.UTC(2026, 10, 22, 12);
  const wait = (headers: Record<string, string>) => namedWait(new Headers(headers), now);
  assert.equal(wait({}), undefined);
  assert.equal(wait({ "Retry-After": "12" }), 12);
  assert.equal(wait({ "Retry-After": "Sun, 22 Nov 2026 12:00:35 GMT" }), 35);
  assert.equal(wait({ "Retry-After": "Sun, 22 Nov 2026 11:00:00 GMT" }), undefined);
  assert.equal(wait({ "Retry-After": "soon" }), undefined);
  assert.equal(wait({ RateLimit: '"api";r=0;t=3' }), 3);
  assert.equal(wait({ RateLimit: '"resolvers"; r=0; t=140', "Retry-After": "5" }), 140);
  assert.equal(wait({ RateLimit: '"api";r=0;t=0' }), undefined);
});
