import assert from "node:assert/strict";
import { test } from "node:test";
import { Preparer } from "./prepare.ts";

const templates = {
  "that prints it": "{% for m in messages %}{{ m.role }}:{{ m.content }}</s>{% endfor %}",
  "that doesn't": "{% for m in messages %}{{ m.role }}</s>{% endfor %}",
};
for (const [name, chatTemplate] of Object.entries(templates))
  for (const depth of [4_000, 200_000])
    void test(`a tool's answer nested ${depth} deep is a bad row, with a template ${name}`, () => {
      const preparer = new Preparer({
        tokenizerFiles: { tokenizer: { model: { type: "WordLevel", unk_token: "?", vocab: { "?": 0 } } } },
        trainOn: "assistant",
        formats: [{ format: "messages", columns: {} }],
        chatTemplate,
        now: 0,
      });
      const text =
        `{"messages": [{"role": "user", "content": "q"}, {"role": "tool", "content": ${"[".repeat(depth)}${"]".repeat(depth)}}, ` +
        `{"role": "assistant", "content": "a"}]}`;
      const prepared = preparer.prepare({ file: "rows.jsonl", line: 1, text }, 0);
      assert.deepEqual(prepared, { bad: "nested too deeply" });
    });
