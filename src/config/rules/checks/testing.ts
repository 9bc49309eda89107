// What a table of wrong configurations, each with its message, is tested by.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Config } from "../../config.ts";
import type { ConfigInput } from "../../schema/schema.ts";
import { model, problemsOf } from "../../testing.ts";

type Row = [sections: ConfigInput, message: string];

/** Each configuration is refused with its message alone. */
export function refuses(rows: readonly Row[]): void {
  for (const [sections, message] of rows) {
    test(`refused: ${message.slice(0, 70)}`, () => {
      const create = () => Config.create({ model, ...sections }, { allowUnsupported: true });
      assert.deepEqual(problemsOf(create), [message]);
    });
  }
}

/** Each configuration is valid, and warned of with its message alone. */
export function warns(rows: readonly Row[]): void {
  for (const [sections, message] of rows) {
    test(`warned: ${message.slice(0, 70)}`, () => {
      assert.deepEqual(Config.create({ model, ...sections }, { allowUnsupported: true }).warnings, [message]);
    });
  }
}
