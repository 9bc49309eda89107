import assert from "node:assert/strict";
import { test } from "node:test";
import { ChatTemplate } from "./chat-template.ts";
import { toExample } from "./formats.ts";
import { maskConversation } from "./masking.ts";
import { forTemplate, renderWords } from "./template-forms.ts";
import { BadRow } from "../types.ts";

const turn = (body: string): string =>
  `{% for m in messages %}<{{ m.role }}>${body}</s>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}`;
const calls = (written: string): string =>
  turn(`{{ m.content }}{% for c in m.tool_calls %}[{{ c.function.name }} ${written}]{% endfor %}`);

/** What is written of two calls, with arguments as an object and as text. */
const rendered = (source: string, args: unknown[] = [{ a: "b" }, '{"a": "b"}']): string => {
  const example = toExample(
    {
      messages: [
        { role: "user", content: "q" },
        ...args.map((given) => ({
          role: "assistant",
          content: null,
          tool_calls: [{ type: "function", function: { name: "f", arguments: given } }],
        })),
      ],
    },
    "messages",
  );
  assert.ok(example.kind === "messages");
  const template = new ChatTemplate(source, { eosToken: "</s>" });
  const messages = forTemplate(template, example.messages);
  return maskConversation(template, messages, { trainOn: "assistant", addedTokens: ["</s>"] }).text;
};

void test("arguments are objects or JSON text, whichever the template wants", () => {
  const expected = '<user>q</s><assistant>[f {"a": "b"}]</s><assistant>[f {"a": "b"}]</s>';
  for (const written of [
    "{{ c.function.arguments | tojson }}", // Qwen2.5, Llama 3.1, Hermes
    "{% if c.function.arguments is string %}{{ c.function.arguments }}{% else %}{{ c.function.arguments | tojson }}{% endif %}", // Qwen3
    "{{ c.function.arguments }}", // written as it is
    "{{ '' + c.function.arguments }}", // DeepSeek
  ])
    assert.equal(rendered(calls(written)), expected, written);
  const items = calls("{% for k, v in c.function.arguments.items() %}{{ k }}={{ v }}{% endfor %}"); // GLM, Qwen3-Coder
  assert.equal(rendered(items), "<user>q</s><assistant>[f a=b]</s><assistant>[f a=b]</s>");
  const json = calls("{{ c.function.arguments | tojson }}");
  assert.equal(
    rendered(json, ["", '"{\\"a\\": 1}"']),
    '<user>q</s><assistant>[f {}]</s><assistant>[f {"a": 1}]</s>',
  );
  assert.throws(
    () => rendered(json, ["f(x)"]),
    (error) =>
      error instanceof BadRow &&
      error.reason.startsWith(
        'turn 2: tool call 1: the chat template wants arguments as an object; expected JSON text, found text "f(x)"',
      ),
  );
});

void test("a turn that only calls has no content, or an empty one where the template needs text", () => {
  const written = "{% for c in m.tool_calls %}[{{ c.function.arguments | tojson }}]{% endfor %}";
  const expected = '<user>q</s><assistant>[{"a": "b"}]</s>';
  assert.equal(rendered(turn(`{{ m.content }}${written}`), [{ a: "b" }]), expected);
  assert.equal(rendered(turn(`{{ '' + m.content }}${written}`), [{ a: "b" }]), expected);
  const asked = turn(`{% if m.content is defined %}!{{ m.content }}{% endif %}${written}`);
  assert.equal(rendered(asked, [{ a: "b" }]), '<user>!q</s><assistant>[{"a": "b"}]</s>');
});

void test("a tool's answer is an object where the template writes one", () => {
  const text = (source: string): string => {
    const turns = [
      { role: "user", content: "q" },
      { role: "tool", content: { t: 1 } },
      { role: "tool", content: '{"t": 1}' },
      { role: "assistant", content: "a" },
    ];
    const example = toExample({ messages: turns }, "messages");
    assert.ok(example.kind === "messages");
    const template = new ChatTemplate(source);
    const messages = forTemplate(template, example.messages);
    return maskConversation(template, messages, { trainOn: "assistant", addedTokens: ["</s>"] }).text;
  };
  const plain = turn("{{ m.content }}");
  assert.equal(text(plain), '<user>q</s><tool>{"t": 1}</s><tool>{"t": 1}</s><assistant>a</s>');
  // As Llama 3.1's, which writes the text of an answer as JSON, too.
  const json = turn("{% if m.role == 'tool' %}{{ m.content | tojson }}{% else %}{{ m.content }}{% endif %}");
  assert.equal(text(json), '<user>q</s><tool>{"t": 1}</s><tool>"{\\"t\\": 1}"</s><assistant>a</s>');
});

void test("turns that are not trained, by their number", () => {
  const template = new ChatTemplate(turn("{{ m.content }}"), { eosToken: "</s>" });
  const messages = ["one", "WRONG", "two", "right"].map((content, i) => ({
    role: i % 2 === 0 ? "user" : "assistant",
    content,
  }));
  const trained = (trainOn: "assistant" | "last" | "all", untrained: boolean[]): string[] => {
    const { text, spans } = maskConversation(template, messages, {
      trainOn,
      addedTokens: ["</s>"],
      untrained,
    });
    return spans.map(({ start, end }) => text.slice(start, end));
  };
  assert.deepEqual(trained("assistant", [true, true, true]), ["right</s>"]);
  assert.deepEqual(trained("last", [true, true, true]), ["right</s>"]);
  assert.deepEqual(trained("assistant", [false, false, false, true]), ["WRONG</s>"]);
  assert.deepEqual(trained("all", [false, true]), [
    "<user>one</s><assistant>",
    "</s><user>two</s><assistant>right</s>",
  ]);
});

const both =
  "{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}+{{ p.text }}{% endfor %}{% endif %}";

/** The text of a conversation whose last answer is `content`, and what of it is trained. */
const maskedParts = (source: string, question: unknown, answer: unknown): [string, string[]] => {
  const example = toExample(
    {
      messages: [
        { role: "user", content: question },
        { role: "assistant", content: answer },
      ],
    },
    "messages",
  );
  assert.ok(example.kind === "messages");
  const template = new ChatTemplate(source, { eosToken: "</s>" });
  const { text, spans } = maskConversation(template, forTemplate(template, example.messages), {
    trainOn: "assistant",
    addedTokens: ["</s>"],
  });
  return [text, spans.map(({ start, end }) => text.slice(start, end))];
};

void test("lists of content parts reach templates that take them, as in Transformers; the others get their text", () => {
  const parts = [
    { type: "text", text: "one" },
    { type: "text", text: "two" },
  ];
  assert.deepEqual(maskedParts(turn(both), parts, [parts[0]]), [
    "<user>+one+two</s><assistant>+one</s>",
    ["+one</s>"],
  ]);
  assert.deepEqual(maskedParts(turn(both), "q", "a"), ["<user>q</s><assistant>a</s>", ["a</s>"]]);
  // Transformers would write a list as Python does.
  const words = "<user>onetwo</s><assistant>one</s>";
  assert.deepEqual(maskedParts(turn("{{ m.content }}"), parts, [parts[0]]), [words, ["one</s>"]]);
});

void test("a template that takes lists of parts alone gets text as a list of one", () => {
  for (const body of [
    "{{ m['content'][0]['text'] }}",
    "{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% endif %}{% endfor %}",
  ]) {
    const expected = ["<user>q</s><assistant>a</s>", ["a</s>"]];
    assert.deepEqual(maskedParts(turn(body), "q", "a"), expected, body);
    assert.deepEqual(maskedParts(turn(body), [{ type: "text", text: "q" }], "a"), expected, body);
    const template = new ChatTemplate(turn(body), { eosToken: "</s>" });
    assert.equal(
      renderWords(template, [{ role: "user", content: "q" }], { addGenerationPrompt: true }),
      "<user>q</s><assistant>",
    );
  }
});
