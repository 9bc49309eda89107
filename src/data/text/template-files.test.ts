import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { chatTemplateOf } from "./chat-template.ts";
import { chosenTemplate, configTemplates, readTemplates } from "./template-files.ts";
import { Tokenizer } from "./tokenizer.ts";

const files = {
  default: { text: "D", file: "tokenizer_config.json" },
  tool_use: { text: "T", file: "tokenizer_config.json" },
};
const list = [
  { name: "default", template: "D" },
  { name: "tool_use", template: "T" },
];

function folderOf(t: TestContext, contents: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), "templates-"));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "additional_chat_templates"));
  for (const [name, text] of Object.entries(contents)) writeFileSync(join(folder, name), text);
  return folder;
}

void test("templates of tokenizer_config.json: one, or a list by name", (t) => {
  const folder = folderOf(t, {});
  assert.deepEqual(readTemplates(folder, { chat_template: "D" }), { default: files.default });
  assert.deepEqual(readTemplates(folder, { chat_template: list }), files);
  assert.deepEqual(readTemplates(folder, {}), {});
});

void test("templates in files of their own take the place of those in tokenizer_config.json", (t) => {
  const folder = folderOf(t, { "chat_template.jinja": "J", "additional_chat_templates/rag.jinja": "R" });
  assert.deepEqual(readTemplates(folder, { chat_template: list }), {
    default: { text: "J", file: "chat_template.jinja" },
    rag: { text: "R", file: "additional_chat_templates/rag.jinja" },
  });
});

void test("chat_template.json is read where there is no other", (t) => {
  const folder = folderOf(t, { "chat_template.json": '{"chat_template": "L"}' });
  assert.deepEqual(readTemplates(folder, {}), { default: { text: "L", file: "chat_template.json" } });
  assert.deepEqual(readTemplates(folder, { chat_template: "D" }), { default: files.default });
  writeFileSync(join(folder, "chat_template.json"), "{");
  assert.throws(() => readTemplates(folder, {}), {
    name: "UserError",
    message: /chat_template\.json: expected JSON: /,
  });
});

void test("model.chat_template is a name, a text or a file", (t) => {
  const folder = folderOf(t, { "own.jinja": "{{ own }}" });
  assert.equal(chosenTemplate("tool_use", files), files.tool_use);
  assert.deepEqual(chosenTemplate("{{ x }}", files), { text: "{{ x }}", file: "model.chat_template" });
  const path = join(folder, "own.jinja");
  assert.deepEqual(chosenTemplate(path, files), { text: "{{ own }}", file: path });
  const home = process.env["HOME"];
  process.env["HOME"] = folder;
  t.after(() => void (home === undefined ? delete process.env["HOME"] : (process.env["HOME"] = home)));
  for (const short of ["~/own.jinja", "$HOME/own.jinja"])
    assert.deepEqual(chosenTemplate(short, files), { text: "{{ own }}", file: path });
  assert.throws(() => chosenTemplate("rag", files), {
    name: "UserError",
    message:
      "model.chat_template: expected the name of one of the model's chat templates (default, tool_use), a file, or a " +
      'template\'s text, found "rag"',
  });
});

void test("several templates without a default: one has to be chosen", () => {
  const none = {
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    added_tokens: [],
  };
  const tokenizer = { ...none, model: { type: "BPE", vocab: { a: 0 }, merges: [] } };
  const named = list.map(({ name, template }) => ({ name: name.replace("default", "chat"), template }));
  const chatTemplates = configTemplates(named, "tokenizer_config.json");
  assert.throws(() => chatTemplateOf(new Tokenizer({ tokenizer, chatTemplates })), {
    name: "UserError",
    message:
      'model.chat_template: this model has the chat templates chat, tool_use, and none is named "default". Choose one by its name',
  });
  const { chat } = chatTemplates;
  assert.equal(chatTemplateOf(new Tokenizer({ tokenizer, chatTemplates: { chat: chat! } }))?.render([]), "D");
});
