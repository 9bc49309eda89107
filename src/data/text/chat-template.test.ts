import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { ChatTemplate } from "./chat-template.ts";
import { strftime } from "./jinja/index.ts";
import type { Message } from "../types.ts";

interface Fixture {
  families: Record<string, { template: string; names: Record<string, string> }>;
  cases: {
    family: string;
    messages: Message[];
    addGenerationPrompt: boolean;
    text?: string;
    error?: string;
  }[];
}
const path = join(import.meta.dirname, "../../../test/fixtures/data/chat.json.gz");
const fixture = JSON.parse(gunzipSync(readFileSync(path)).toString()) as Fixture;

for (const [family, { template: source, names }] of Object.entries(fixture.families)) {
  void test(`${family}: text equals Transformers'`, { timeout: 60_000 }, () => {
    const template = new ChatTemplate(source, {
      bosToken: names["bos_token"],
      eosToken: names["eos_token"],
      variables: { date_string: "22 Nov 2026" },
    });
    const cases = fixture.cases.filter((c) => c.family === family);
    assert.equal(cases.length, 14);
    for (const { messages, addGenerationPrompt, text, error } of cases) {
      const render = (): string => template.render(messages, { addGenerationPrompt });
      if (error === undefined) assert.equal(render(), text);
      else assert.throws(render, (thrown: Error) => thrown.message.includes(error));
    }
  });
}

void test("objects in text are Python's error, never [object Object]", () => {
  const adds = new ChatTemplate("{{ 'CALL ' + messages[0].tool_calls[0].arguments }}");
  const message = { role: "assistant", content: "", tool_calls: [{ arguments: { city: "Paris" } }] };
  assert.throws(() => adds.render([message]), {
    name: "RenderError",
    message: 'can only concatenate str (not "dict") to str',
  });
  const prints = new ChatTemplate("{{ messages[0].tool_calls[0].arguments }}");
  assert.equal(prints.render([message]), "{'city': 'Paris'}");
});

void test("fields that are null are as if they weren't there, and thoughts have every name", () => {
  const template = new ChatTemplate("{{ messages | tojson }}");
  assert.equal(
    template.render([
      { role: "user", content: "hi", tool_calls: null, reasoning: "hm" },
      { role: "assistant", content: "ho", tool_calls: [] },
    ]),
    '[{"thinking": "hm", "role": "user", "content": "hi", "reasoning": "hm", "reasoning_content": "hm"}, {"role": "assistant", "content": "ho"}]',
  );
});

void test("today's date is fixed", () => {
  const now = new Date(2026, 10, 22, 15, 4, 5);
  assert.equal(
    strftime(now, "%d %b %Y|%A %H:%M:%S %I%p %%|%B %y %a %m"),
    "22 Nov 2026|Sunday 15:04:05 03PM %|November 26 Sun 11",
  );
  const dated = "{{ strftime_now('%d %b %Y') }}";
  assert.equal(new ChatTemplate(dated, { now }).render([]), "22 Nov 2026");
});
