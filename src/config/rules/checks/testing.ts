// What the checks of a section are tested by: wrong configurations, the message of each, and overrides that do what it advises.
import assert from "node:assert/strict";
import { mock, test } from "node:test";

import type { Check } from "./check.ts";
import { Config } from "../../config.ts";
import type { ConfigInput } from "../../schema/schema.ts";
import { model, problemsOf } from "../../testing.ts";

/** The overrides of each way out that the message names. */
type Row = [sections: ConfigInput, message: string, ways: readonly (readonly string[])[]];

interface Rows {
  readonly refused?: readonly Row[];
  readonly warned?: readonly Row[];
}

/** Each configuration has its message alone, and none where the advice is followed. Every check is among them. */
export function tryChecks(checks: readonly Check[], { refused = [], warned = [] }: Rows): void {
  const runs = checks.map((check) => mock.method(check, "run").mock);
  const create = (sections: ConfigInput, overrides: readonly string[] = []): Config =>
    Config.create({ model, ...sections }, { overrides });
  for (const [sections, message, ways] of refused)
    test(`refused: ${message.slice(0, 70)}`, () => {
      assert.deepEqual(
        problemsOf(() => create(sections)),
        [message],
      );
      for (const overrides of ways) create(sections, overrides);
    });
  for (const [sections, message, ways] of warned)
    test(`warned: ${message.slice(0, 70)}`, () => {
      assert.deepEqual(create(sections).warnings, [message]);
      for (const overrides of ways) assert.deepEqual(create(sections, overrides).warnings, []);
    });
  test("every check is tried", () => {
    const untried = checks.filter((_, i) => !runs[i]!.calls.some(({ result }) => result!.length > 0));
    assert.deepEqual(
      untried.map(({ rule }) => rule),
      [],
    );
  });
}
