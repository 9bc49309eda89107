import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { ChatTemplate, chatTemplateOf } from "./chat-template.ts";
import { encodeExample, type EncodeOptions } from "./encode.ts";
import { Tokenizer } from "./tokenizer.ts";
import type { RowColumns } from "../columns.ts";
import { BadRow, type Example } from "../types.ts";

const folder = join(import.meta.dirname, "../../../test/fixtures/data");
const fixture = (name: string): Record<string, Record<string, unknown>> =>
  JSON.parse(gunzipSync(readFileSync(join(folder, `${name}.json.gz`))).toString()) as Record<
    string,
    Record<string, unknown>
  >;
const tokenizer = (name: string): Tokenizer => {
  const { tokenizer, config } = fixture(name);
  return new Tokenizer({ tokenizer: tokenizer!, tokenizerConfig: config });
};
const smol = tokenizer("smollm2");
const llama = tokenizer("llama3-style");
const trainedText = (tok: Tokenizer, row: RowColumns): string =>
  tok.decode([...row.tokens].filter((_, t) => row.lossMask[t] === 1));
const encoded = (example: Example, options: EncodeOptions): RowColumns =>
  encodeExample(example, options).columns;
const chat = (...contents: string[]): Example => ({
  kind: "messages",
  messages: contents.map((content, i) => ({ role: i % 2 === 0 ? "user" : "assistant", content })),
});

void test(
  "a chat: ids of the rendered text, the answers and their end tokens trained",
  { timeout: 60_000 },
  () => {
    const template = chatTemplateOf(smol);
    assert.ok(template);
    const options = { tokenizer: smol, template, trainOn: "assistant" } as const;
    const example = chat("Hi!", "Hello.", "And 2+2?", "It is 4.");
    const row = encoded(example, options);
    assert.ok(example.kind === "messages");
    assert.equal(smol.decode(row.tokens), template.render(example.messages));
    assert.equal(trainedText(smol, row), "Hello.<|im_end|>It is 4.<|im_end|>");
    assert.equal(trainedText(smol, encoded(example, { ...options, trainOn: "last" })), "It is 4.<|im_end|>");
    // An answer that opens with spaces shares a token with the header: that token is trained.
    assert.equal(trainedText(smol, encoded(chat("q", "  yes"), options)), "\n  yes<|im_end|>");
  },
);

void test(
  "no double bos: neither for a chat whose template writes it, nor for a text that opens with it",
  { timeout: 60_000 },
  () => {
    const { families } = fixture("chat") as unknown as { families: Record<string, { template: string }> };
    const template = new ChatTemplate(families["llama3"]!.template, {
      bosToken: llama.bosToken,
      eosToken: llama.eosToken,
    });
    const bos = llama.bosId!;
    for (const example of [
      chat("Hi", "Ho"),
      { kind: "text", text: "plain" },
      { kind: "text", text: "<|begin_of_text|>plain" },
    ] as const) {
      const row = encoded(example, { tokenizer: llama, template, trainOn: "assistant" });
      assert.equal([...row.tokens].filter((id) => id === bos).length, 1);
      assert.equal(row.tokens[0], bos);
      assert.equal(row.lossMask[0], 0);
      assert.equal(row.tokens.at(-1), llama.eosId);
      assert.equal(row.lossMask.at(-1), 1);
    }
  },
);

void test(
  "prompt and completion: the completion and the eos, also where the two share a token",
  { timeout: 60_000 },
  () => {
    const options = { tokenizer: smol, template: undefined, trainOn: "assistant" } as const;
    assert.equal(
      trainedText(smol, encoded({ kind: "completion", prompt: "Say: ", completion: "cat" }, options)),
      " cat<|im_end|>",
    );
    const all = encoded(
      { kind: "completion", prompt: "Say: ", completion: "cat" },
      { ...options, trainOn: "all" },
    );
    assert.deepEqual([...all.lossMask], [0, 1, 1, 1]);
  },
);

void test(
  "a model without a chat template: conversations are refused, one question with one answer too",
  { timeout: 60_000 },
  () => {
    const options = { tokenizer: smol, template: undefined, trainOn: "assistant" } as const;
    for (const example of [chat("Q: ", "A"), chat("a", "b", "c", "d")])
      assert.throws(() => encoded(example, options), {
        name: "UserError",
        message:
          "model.hf_assets_path: this model has no chat template, so conversations can't be written as text. Use the Instruct " +
          "version of the model, name a template with model.chat_template (a file or its text), or give " +
          '"prompt" and "completion" columns',
      });
  },
);

void test("rows with tools are written by the template tool_use, others by the default one", () => {
  const say = (extra: string): { text: string; file: string } => ({
    text: `${extra}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}`,
    file: "tokenizer_config.json",
  });
  const chatTemplates = { default: say(""), tool_use: say("TOOLS {{ tools | length }}\n") };
  const tok = new Tokenizer({ ...smol.files, chatTemplates });
  const options = { tokenizer: tok, template: chatTemplateOf(tok), trainOn: "assistant" } as const;
  const example = chat("q", "a");
  assert.ok(example.kind === "messages");
  assert.match(tok.decode(encoded(example, options).tokens), /^<\|im_start\|>user/);
  const withTools = encoded({ ...example, tools: [{ name: "f" }] }, options);
  assert.match(tok.decode(withTools.tokens), /^TOOLS 1\n<\|im_start\|>user/);
  assert.equal(trainedText(tok, withTools), "a<|im_end|>");
  assert.match(tok.decode(encoded({ ...example, tools: [] }, options).tokens), /^<\|im_start\|>user/);
});

void test("pre-tokenized ids outside the vocabulary are a bad row", { timeout: 60_000 }, () => {
  const columns = { tokens: Int32Array.of(1, 49152), lossMask: Uint8Array.of(1, 1) };
  assert.throws(
    () => encoded({ kind: "tokens", columns }, { tokenizer: smol, template: undefined, trainOn: "all" }),
    new BadRow("input_ids has 49152, the vocabulary ends at 49151"),
  );
  const small = new Tokenizer({ ...smol.files, modelConfig: { vocab_size: 49_152 } });
  const { tokenizer: json } = small.files;
  const added = json["added_tokens"] as Record<string, unknown>[];
  const padded = new Tokenizer({
    ...small.files,
    tokenizer: { ...json, added_tokens: [...added, { ...added[0], id: 49_152, content: "[PAD]" }] },
  });
  const options = { tokenizer: padded, template: undefined, trainOn: "all" } as const;
  assert.throws(
    () => encodeExample({ kind: "text", text: "a[PAD]" }, options),
    new BadRow("[PAD] is the id 49152, the vocabulary ends at 49151"),
  );
});
