import assert from "node:assert/strict";
import test from "node:test";

import { EventStream } from "./event-stream.ts";

async function all(reader: AsyncIterable<number>): Promise<number[]> {
  const values: number[] = [];
  for await (const value of reader) values.push(value);
  return values;
}

test("a reader gets what comes after it began, at its own pace, until the end", async () => {
  const stream = new EventStream<number>();
  stream.push(0);
  const early = stream.read();
  stream.push(1);
  const late = stream.read();
  const wanted = late.next();
  stream.push(2);
  assert.deepEqual(await wanted, { value: 2, done: false });
  const more = late.next();
  stream.end();
  assert.deepEqual(await more, { value: undefined, done: true });
  stream.push(3);
  assert.deepEqual(await all(early), [1, 2]);
});

test("a reader that leaves hears no more; the others do", async () => {
  const stream = new EventStream<number>();
  const [leaving, staying] = [stream.read(), stream.read()];
  stream.push(1);
  stream.push(2);
  for await (const value of leaving) if (value === 1) break;
  stream.push(3);
  stream.end();
  assert.deepEqual(await all(leaving), []);
  assert.deepEqual(await all(staying), [1, 2, 3]);
});
