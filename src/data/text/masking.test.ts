import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { ChatTemplate } from "./chat-template.ts";
import { maskConversation } from "./masking.ts";
import { BadRow, type Message, type TrainOn } from "../types.ts";

const path = join(import.meta.dirname, "../../../test/fixtures/data/chat.json.gz");
const { families, trainedByTrl } = JSON.parse(gunzipSync(readFileSync(path)).toString()) as {
  families: Record<string, { template: string; names: Record<string, string> }>;
  trainedByTrl: { family: string; messages: Message[]; trained: string[] }[];
};
const addedTokens = (
  "<|im_start|> <|im_end|> <|endoftext|> <|begin_of_text|> <|start_header_id|> <|end_header_id|> <|eot_id|> " +
  "<bos> <eos> <start_of_turn> <end_of_turn> <s> </s> [INST] [/INST] <|user|> <|assistant|> <|system|> <|end|>"
).split(" ");

const template = (family: string): ChatTemplate => {
  const { template: source, names } = families[family]!;
  return new ChatTemplate(source, { bosToken: names["bos_token"], eosToken: names["eos_token"] });
};
const talk = (...turns: string[]): Message[] =>
  turns.map((turn) => {
    const [, role, content] = /^(\w+): ?([^]*)$/.exec(turn)!;
    return { role: role!, content: content! };
  });
const trained = (chat: ChatTemplate, messages: Message[], trainOn: TrainOn = "assistant"): string[] => {
  const { text, spans } = maskConversation(chat, messages, { trainOn, addedTokens });
  return spans.map(({ start, end }) => text.slice(start, end));
};

const thoughtful = (answer: string): string => `assistant: <think>\nhm\n</think>\n\n${answer}`;

const endToken: Record<string, string> = {
  smollm2: "<|im_end|>",
  llama3: "<|eot_id|>",
  "llama3.1": "<|eot_id|>",
  "qwen2.5": "<|im_end|>",
  qwen3: "<|im_end|>",
  gemma: "<end_of_turn>",
  gemma3: "<end_of_turn>",
  phi3: "<|end|>",
  mistral: "</s>",
};

for (const [family, end] of Object.entries(endToken)) {
  void suite(`masking of ${family}`, { timeout: 60_000 }, () => {
    const chat = template(family);
    // Qwen3 writes an empty thought before the last answer: the model has to as well.
    const thought = family === "qwen3" ? "<think>\n\n</think>\n\n" : "";
    const two = talk("user: answer", "assistant: answer", "user: answer", "assistant: answer");

    void test("every assistant turn with its end token, also where the question says the same words", () => {
      assert.deepEqual(trained(chat, two), [`answer${end}`, `${thought}answer${end}`]);
    });
    void test("the last turn only", () => {
      assert.deepEqual(trained(chat, two, "last"), [`${thought}answer${end}`]);
      const { text, spans } = maskConversation(chat, two, { trainOn: "last", addedTokens });
      assert.ok(
        spans[0]!.start > text.indexOf("answer", text.indexOf("answer", text.indexOf("answer") + 1) + 1),
      );
    });
    void test("an answer with white space around it, and an empty one", () => {
      const [odd] = trained(chat, talk("user: q", "assistant: \n a b \n"));
      assert.match(odd!, /^\s?(<think>\n\n<\/think>\n\n)?\s*a b\s*<[^ ]*>$/);
      assert.ok(odd!.endsWith(end));
      assert.ok(trained(chat, talk("user: q", "assistant: "))[0]!.endsWith(end));
    });
    void test("an answer that holds the template's own markers", () => {
      const [turn] = trained(chat, talk("user: q", `assistant: say ${end} and go on`));
      assert.equal(turn, `${thought}say ${end} and go on${end}`);
    });
    void test("no answer: nothing is trained", () => assert.deepEqual(trained(chat, talk("user: q")), []));
    void test("train_on all: questions and answers, never the system's text", () => {
      const all = trained(chat, talk("user: question", "assistant: reply"), "all").join("");
      assert.match(all, /question[^]*reply/);
      assert.doesNotMatch(all, /SmolLM|helpful|system|Cutting Knowledge/);
      if (family === "gemma") return; // has no system turn
      const given = talk("system: SECRET", "user: one", "assistant: reply", "user: two", "assistant: reply");
      const withSystem = trained(chat, given, "all").join("");
      assert.match(withSystem, /one[^]*reply[^]*two[^]*reply/);
      assert.doesNotMatch(withSystem, /SECRET/);
    });
  });
}

void test("what is trained is what TRL trains with templates marked by hand", { timeout: 60_000 }, () => {
  const marked = new Set(trainedByTrl.map(({ family }) => family));
  assert.deepEqual([...marked].sort(), ["gemma", "gemma3", "llama3", "phi3", "qwen2.5", "qwen3"]);
  for (const { family, messages, trained: expected } of trainedByTrl) {
    // TRL's marks also take in line breaks that the template writes around a turn; those are not compared.
    const trim = (texts: string[]): string[] => texts.map((text) => text.trim());
    // Phi-3's template also closes the whole text with its eos, after the turn's own end, where no model generates.
    const turns = expected.filter((text) => text !== "<|endoftext|>");
    assert.deepEqual(trim(trained(template(family), messages)), trim(turns), family);
  }
});

void test(
  "Qwen3 removes the thoughts of earlier turns: what is left there is trained",
  { timeout: 60_000 },
  () => {
    assert.deepEqual(
      trained(template("qwen3"), talk("user: a", thoughtful("1"), "user: b", thoughtful("2"))),
      ["1<|im_end|>", "<think>\nhm\n</think>\n\n2<|im_end|>"],
    );
  },
);

void test("other space within an answer is followed: Qwen3 sets thoughts apart by lines", () => {
  const chat = template("qwen3");
  const last = talk("user: 2+2?", "assistant: <think>two and two</think>4");
  assert.deepEqual(trained(chat, last), ["<think>\ntwo and two\n</think>\n\n4<|im_end|>"]);
  const more = talk("user: 3+3?", "assistant: <think>\nthree\n</think>\n6");
  assert.deepEqual(trained(chat, [...last, ...more]), [
    "4<|im_end|>",
    "<think>\nthree\n</think>\n\n6<|im_end|>",
  ]);
});

const leftOut = (chat: ChatTemplate, messages: Message[], tools?: unknown[]): readonly string[] =>
  maskConversation(chat, messages, { trainOn: "assistant", tools, addedTokens }).leftOut;
const called = { role: "assistant", content: "", tool_calls: [{ function: { name: "f", arguments: {} } }] };
const tools = [{ type: "function", function: { name: "f", parameters: {} } }];

void test("what a template leaves out is told", () => {
  const chatml = new ChatTemplate(
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}",
  );
  const plain = talk("user: q", "assistant: a");
  assert.deepEqual(leftOut(chatml, plain), []);
  assert.deepEqual(leftOut(chatml, plain, tools), ["the chat template leaves out the row's tools"]);
  assert.deepEqual(leftOut(chatml, [plain[0]!, { ...called, content: "I look." }, ...plain], tools), [
    "the chat template leaves out the row's tools",
    "the chat template leaves out its tool calls",
  ]);
  assert.deepEqual(leftOut(chatml, [plain[0]!, { ...plain[1]!, reasoning_content: "hm" }]), [
    "the chat template leaves out thoughts of the last answer",
  ]);
  const noSystem = new ChatTemplate(
    "{% for m in messages %}{% if m.role != 'system' %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}",
  );
  assert.deepEqual(leftOut(noSystem, talk("system: s", "user: q", "assistant: a")), [
    "the chat template leaves out a system turn",
  ]);
  const qwen = template("qwen3");
  assert.deepEqual(
    leftOut(qwen, [...talk("system: s", "user: q"), called, ...talk("tool: 1", "assistant: a")], tools),
    [],
  );
  assert.deepEqual(leftOut(qwen, talk("user: a", thoughtful("1"), "user: b", thoughtful("2"))), [
    "the chat template leaves out thoughts of earlier answers",
  ]);
  const cuts = new ChatTemplate(
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.split('</think>')[-1] }}<|im_end|>\n{% endfor %}",
  );
  assert.deepEqual(leftOut(cuts, talk("user: a", thoughtful("1"))), [
    "the chat template leaves out thoughts of the last answer",
  ]);
  assert.deepEqual(leftOut(qwen, talk("user: a", "assistant: x<think>y</think>z")), [
    "the chat template leaves out a part of an answer",
  ]);
});

const published = new Map(
  (
    JSON.parse(gunzipSync(readFileSync(join(path, "../../templates/templates.json.gz"))).toString()) as {
      templates: { name: string; source: string }[];
    }
  ).templates.map(({ name, source }) => [name, source]),
);
const marks = (name: string): ChatTemplate => new ChatTemplate(published.get(`trl--${name}_training`)!);

void test("a template's generation marks are what is trained, to the character", () => {
  const two = talk("user: q", "assistant: a", "user: r", "assistant: b");
  // TRL's own template begins with the line break of the header, and ends with that of the turn.
  const qwen = marks("qwen2_5");
  assert.deepEqual(trained(qwen, two), ["\na<|im_end|>\n", "\nb<|im_end|>\n"]);
  assert.deepEqual(trained(qwen, two, "last"), ["\nb<|im_end|>\n"]);
  assert.doesNotMatch(trained(qwen, two, "all").join(""), /helpful/);
  const options = { trainOn: "assistant", addedTokens } as const;
  const text = (masked: ReturnType<typeof maskConversation>): string[] =>
    masked.spans.map(({ start, end }) => masked.text.slice(start, end));
  const without = maskConversation(qwen, two, { ...options, generationMarks: false });
  assert.deepEqual(text(without), ["a<|im_end|>", "b<|im_end|>"]);
  const prompt = maskConversation(qwen, two, { ...options, untrained: [true, true, false, false] });
  assert.deepEqual(text(prompt), ["\nb<|im_end|>\n"]);
  assert.deepEqual(trained(marks("llama3"), two), ["a<|eot_id|>", "b<|eot_id|>"]);
});

void test("an end of two tokens is trained whole; what closes the text isn't part of it", () => {
  const two = talk("user: q", "assistant: a", "user: r", "assistant: b");
  const ends = (name: string, added: string[]): string[] => {
    const options = { trainOn: "assistant", generationMarks: false, addedTokens: added } as const;
    const { text, spans } = maskConversation(marks(name), two, options);
    return spans.map(({ start, end }) => text.slice(start, end));
  };
  const command = ["<|END_RESPONSE|>", "<|END_OF_TURN_TOKEN|>", "<|START_OF_TURN_TOKEN|>", "<|USER_TOKEN|>"];
  const end = "<|END_RESPONSE|><|END_OF_TURN_TOKEN|>";
  assert.deepEqual(ends("cohere2", command), [`a${end}`, `b${end}`]);
  const closed = new ChatTemplate(
    "{% for m in messages %}<|user|>{{ m.content }}<|end|>{% endfor %}{{ eos_token }}",
    { eosToken: "</s>" },
  );
  assert.deepEqual(trained(closed, two), ["a<|end|>", "b<|end|>"]);
});

void test("marks without the end token, and in places without a place, are told", () => {
  const say = (open: string, close: string): string =>
    `{% for m in messages %}<|im_start|>{{ m.role }}\n${open}{{ m.content }}${close}<|im_end|>\n{% endfor %}`;
  const bare = new ChatTemplate(say("{% generation %}", "{% endgeneration %}"));
  assert.deepEqual(leftOut(bare, talk("user: q", "assistant: a")), [
    "the chat template's generation marks leave out the end token of answers",
  ]);
  const inMacro = new ChatTemplate(
    `{% macro say(m) %}${say("{% generation %}", "{% endgeneration %}")}{% endmacro %}{{ say(m) }}`,
  );
  assert.throws(() => leftOut(inMacro, talk("user: q", "assistant: a")), {
    name: "UserError",
    message:
      "chat template: {% generation %} stands inside a macro, call, filter or set block, where what it marks has no place in the " +
      "text. Set training.generation_marks=false to have the answers found without marks",
  });
  // It takes lists of parts alone: of text it writes nothing.
  assert.throws(
    () => trained(marks("idefics3"), talk("user: q", "assistant: a")),
    new BadRow("turn 2 (assistant) is empty in the text that the chat template makes"),
  );
});

void test("calls that a template wants before a tool's answer are found: Mistral's", () => {
  const mistral = new ChatTemplate(published.get("ik_llama.cpp--mistralai-Mistral-Nemo-Instruct-2407")!, {
    bosToken: "<s>",
    eosToken: "</s>",
  });
  const call = { id: "abcdefghi", type: "function", function: { name: "f", arguments: { x: 1 } } };
  const row = [
    ...talk("user: q"),
    { role: "assistant", content: "", tool_calls: [call] },
    { role: "tool", content: "2", tool_call_id: "abcdefghi" },
    ...talk("assistant: two"),
  ];
  const added = ["<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"];
  const { text, spans } = maskConversation(mistral, row, { trainOn: "assistant", tools, addedTokens: added });
  const expected = ['[TOOL_CALLS][{"name": "f", "arguments": {"x": 1}, "id": "abcdefghi"}]</s>', "two</s>"];
  assert.deepEqual(
    spans.map(({ start, end }) => text.slice(start, end)),
    expected,
  );
  // The tools stand before the last question: with another one they aren't where they were.
  const more = [...row, ...talk("user: r", "assistant: b")];
  const longer = maskConversation(mistral, more, { trainOn: "assistant", tools, addedTokens: added });
  assert.deepEqual(
    longer.spans.map(({ start, end }) => longer.text.slice(start, end)),
    [...expected, "b</s>"],
  );
});

void test("what Python strips and JavaScript doesn't is followed", () => {
  const trims = new ChatTemplate("{% for m in messages %}<|user|>{{ m.content | trim }}<|end|>{% endfor %}");
  assert.deepEqual(trained(trims, talk("user: q", "assistant: \x85\x1ca\x85")), ["a<|end|>"]);
});

void test("a turn that the template empties makes the row bad: the model would learn to say nothing", () => {
  const chatml = new ChatTemplate(
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}",
  );
  const row = [...talk("user: q"), called, ...talk("tool: 1", "assistant: a")];
  for (const trainOn of ["assistant", "last", "all"] as const)
    assert.throws(
      () => maskConversation(chatml, row, { trainOn, tools, addedTokens }),
      new BadRow(
        "turn 2 (assistant) is empty in the text that the chat template makes: it leaves out its tool calls",
      ),
    );
});

void test("a template that rewrites or hides a turn is refused, with the reason", () => {
  const upper = new ChatTemplate("{% for m in messages %}<|user|>{{ m.content | upper }}<|end|>{% endfor %}");
  assert.throws(
    () => trained(upper, talk("user: q", "assistant: reply")),
    new BadRow("turn 2 (assistant) can't be found in the rendered text: the template rewrites its content"),
  );
  const twice = new ChatTemplate("{% for m in messages %}{{ m.content }}|{{ m.content }}<|end|>{% endfor %}");
  assert.throws(() => trained(twice, talk("user: q", "assistant: reply")), BadRow);
  const hides = new ChatTemplate(
    "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}",
  );
  assert.throws(
    () => trained(hides, talk("user: q", "assistant: reply")),
    new BadRow(
      "turn 2 (assistant) can't be found in the rendered text: the template doesn't write its content in one place",
    ),
  );
  assert.throws(
    () => trained(template("gemma"), talk("system: s", "user: q", "assistant: a")),
    new BadRow("the chat template refuses it: System role not supported"),
  );
});

void test("a conversation of too many turns for its length is refused, not masked for days", () => {
  const long = new ChatTemplate(
    "{{ 'x' * 30000000 }}{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}" +
      "{% if add_generation_prompt %}<assistant>{% endif %}",
  );
  const turns = (pairs: number): Message[] =>
    talk(...Array.from({ length: pairs }, () => ["user: q", "assistant: a"]).flat());
  assert.deepEqual(trained(long, turns(2)), ["a</s>", "a</s>"]);
  assert.throws(
    () => trained(long, turns(100)),
    new BadRow("it takes too long to find what is trained in a conversation of 200 turns: split it"),
  );
});

void test("a template without an end token gets the eos after the last answer", () => {
  const bare = new ChatTemplate("{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}\n{% endfor %}", {
    eosToken: "</s>",
  });
  const { text, spans } = maskConversation(bare, talk("user: q", "assistant: a", "user: r", "assistant: b"), {
    trainOn: "assistant",
    addedTokens,
  });
  assert.deepEqual(
    spans.map(({ start, end }) => text.slice(start, end)),
    ["a", "b\n</s>"],
  );
});
