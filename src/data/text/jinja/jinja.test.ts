import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { ChatTemplate } from "../chat-template.ts";
import { isRecord, type Message } from "../../types.ts";
import { float } from "../../values.ts";
import {
  JinjaTemplate,
  RenderError,
  RenderLimitError,
  TemplateSyntaxError,
  UnsupportedError,
} from "./index.ts";

const folder = join(import.meta.dirname, "../../../../test/fixtures/templates");
const fixture = (name: string): unknown =>
  revived(JSON.parse(gunzipSync(readFileSync(join(folder, `${name}.json.gz`))).toString()));

/** The fixtures' `{"$float": "20.0"}` and `{"$int": "…"}`. */
function revived(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(revived);
  if (!isRecord(value)) return value;
  if (typeof value["$float"] === "string") return float(Number(value["$float"]));
  if (typeof value["$int"] === "string") return BigInt(value["$int"]);
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, revived(entry)]));
}

const within2Minutes = { timeout: 120_000 };

void test(
  "published templates: text and generation marks of every conversation are Python's",
  within2Minutes,
  () => {
    const { tokens, cases, templates } = fixture("templates") as {
      tokens: { bos_token: string; eos_token: string; pad_token: string };
      cases: {
        messages: Message[];
        tools: unknown[] | null;
        variables: { add_generation_prompt?: boolean; documents?: unknown };
      }[];
      templates: { name: string; source: string; digests: string }[];
    };
    assert.ok(templates.length >= 150);
    const now = new Date(2026, 10, 22, 15, 4, 5);
    const digestLength = 8;
    for (const { name, source, digests } of templates) {
      const template = new JinjaTemplate(source, now);
      assert.equal(digests.length, cases.length * digestLength);
      for (const [i, { messages, tools, variables }] of cases.entries()) {
        const expected = digests.slice(i * digestLength, (i + 1) * digestLength);
        const given = { documents: null, add_generation_prompt: false, ...tokens, ...variables };
        let found: string;
        try {
          const { text, spans } = template.render({ messages: messages.map(withAliases), tools, ...given });
          const all = `${text}\0${JSON.stringify(spans!.map(({ start, end }) => [start, end]))}`;
          found = createHash("sha256").update(all).digest("hex").slice(0, digestLength);
        } catch (error) {
          assert.ok(error instanceof RenderError, `${name}, case ${i}: ${String(error)}`);
          found = "refused!";
        }
        assert.equal(
          found,
          expected,
          `${name}, case ${i}: make_templates.py FOLDER ${name} ${i} shows the text`,
        );
      }
    }
  },
);

/** As ChatTemplate passes messages. */
function withAliases(message: Message): Record<string, unknown> {
  const fields = Object.fromEntries(Object.entries(message).filter(([, value]) => value !== null));
  const reasoning = fields["reasoning_content"] ?? fields["thinking"] ?? fields["reasoning"];
  return reasoning === undefined ? fields : { thinking: reasoning, ...fields, reasoning_content: reasoning };
}

void test(
  "filters, tests, methods, formats, scopes, white space: equal to Python or refused by name",
  within2Minutes,
  () => {
    const { variables, cases } = fixture("expressions") as {
      variables: Record<string, unknown>;
      cases: [template: string, expected: [string, [number, number][]] | null][];
    };
    const now = new Date(2026, 10, 2, 15, 4, 5);
    const unsupported = new Set<string>();
    for (const [template, expected] of cases) {
      let found: [string, [number, number][]] | null = null;
      try {
        const { text, spans } = new JinjaTemplate(template, now).render({
          messages: [{ role: "user", content: "c" }],
          tools: null,
          documents: null,
          add_generation_prompt: false,
          ...variables,
        });
        found = [text, spans!.map(({ start, end }) => [start, end])];
      } catch (error) {
        if (error instanceof UnsupportedError) {
          if (expected !== null) unsupported.add(error.message);
          continue;
        }
        assert.ok(
          error instanceof RenderError || error instanceof TemplateSyntaxError,
          `${template}: ${String(error)}`,
        );
      }
      assert.deepEqual(found, expected, template);
    }
    assert.deepEqual(
      [...unsupported].sort(),
      [
        "a complex number",
        'the attribute "upper" of a dict_items',
        'the attribute "upper" of a dict_keys',
        'the attribute "upper" of a dict_values',
        'the attribute "upper" of a range',
        "the method str.encode",
        "printing a value of type TemplateReference",
        "truncate of what isn't text",
      ].sort(),
    );
  },
);

const loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
const endless: Record<string, string> = {
  "loops in loops": loops,
  "long text by *": "{{ 'x' * 1000000000000 }}",
  "long text by doubling":
    "{% set n = namespace(s='x') %}{% for i in range(99) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
  "text by replace": "{{ ('x' * 100000) | replace('x', 'y' * 100000) }}",
  "text by join": "{{ ('x' * 100000) | list | join('y' * 100000) }}",
  "text by padding": "{{ '%1000000000000d' % 1 }}",
  "text by center": "{{ 'x'.center(1000000000000) }}",
  "much output": "{% set s = 'x' * 1000000 %}{% for i in range(99999) %}{{ s }}{% endfor %}",
  "long lists": "{{ [1] * 1000000000000 }}",
  "long integers": "{{ 9 ** 99999999999 }}",
  "integers by squaring":
    "{% set n = namespace(i=9) %}{% for i in range(99) %}{% set n.i = n.i * n.i %}{% endfor %}",
  "a filter on a long loop":
    "{% for a in range(99999) if a is odd %}{{ range(99999) | list | length }}{% endfor %}",
  "nested lists that are printed":
    "{% set n = namespace(l=[1]) %}{% for i in range(99) %}{% set n.l = [n.l, n.l] %}{% endfor %}{{ n.l }}",
  "a negative indent": `{% set x = 'a'|indent(-1000000000000000) %}${loops}`,
  "a negative indent of tojson": `{% set x = [1]|tojson(indent=-1000000000000000) %}${loops}`,
  "a batch that is filled": "{{ [1]|batch(20000000, 'x')|list|length }}",
  ...Object.fromEntries(
    [
      "s|length",
      "s == t",
      "s in [t]",
      "s < t",
      "s.count('y')",
      "s.startswith(t)",
      "s.endswith(t)",
      "s.isalpha()",
      "s.islower()",
      "s.istitle()",
      "s.partition('y')",
      "s.removeprefix(t)",
      "s|reverse",
      "s[0]",
      "s|float",
      "s|replace('y', '')",
      "{s: 1}[t]",
      "l.copy()",
      "d.items()",
      "d.keys()",
      "d.copy()",
    ].map((work) => [
      `${work} of a long value`,
      "{% set s = 'x' * 4000000 %}{% set t = 'x' * 4000000 %}{% set l = [1] * 300000 %}" +
        "{% set d = {}.fromkeys(range(99999)) %}" +
        `{% for i in range(9999) %}{% set x = ${work} %}{% endfor %}`,
    ]),
  ),
  "nested tuples that are keys":
    "{% set n = namespace(t=(1,)) %}{% for i in range(99) %}{% set n.t = (n.t,) %}{% endfor %}{{ {n.t: 1} }}",
  "nested lists that are compared":
    "{% set n = namespace(a=[1], b=[1]) %}{% for i in range(99) %}{% set n.a = [n.a, n.a] %}{% set n.b = [n.b, n.b] %}" +
    "{% endfor %}{{ n.a == n.b }}",
};

for (const [name, source] of Object.entries(endless)) {
  void test(`a template can't run for ever or fill the memory: ${name}`, within2Minutes, () => {
    assert.throws(() => new JinjaTemplate(source, new Date()).render({}), RenderLimitError);
  });
}

const rendered = (source: string): string => new JinjaTemplate(source, new Date()).render({}).text;

void test("groupby gives groups with a grouper and a list, which are tuples too", () => {
  const groups = "([{'a': 1}, {'a': 2}, {'a': 1}])|groupby('a')";
  assert.equal(
    rendered(`{% for g in ${groups} %}{{ g.grouper }}:{{ g.list|length }};{% endfor %}`),
    "1:2;2:1;",
  );
  assert.equal(rendered(`{% for k, l in ${groups} %}{{ k }}:{{ l|length }};{% endfor %}`), "1:2;2:1;");
  assert.equal(rendered(`{{ (${groups})|map(attribute='grouper')|join(',') }}`), "1,2");
});

void test("break and continue leave the loop from within set and filter blocks, and from an inner loop's else", () => {
  const loop = (body: string): string => rendered(`{% for i in [1, 2, 3] %}${body}{% endfor %}`);
  const at2 = (ending: string): string => `{{ i }}{% if i == 2 %}{% ${ending} %}{% endif %}`;
  assert.equal(loop(`{% set x %}${at2("break")}{% endset %}[{{ x }}]`), "[1]");
  assert.equal(loop(`{% set x %}${at2("continue")}{% endset %}[{{ x }}]`), "[1][3]");
  assert.equal(loop(`{% filter trim %}${at2("break")}{% endfilter %};`), "1;");
  assert.equal(loop(`{% for j in [] %}{% else %}${at2("break")}{% endfor %};`), "1;2");
});

void test("what a mark of generation encloses is a function, as in Transformers: it can't leave the loop around it", () => {
  const loop = (body: string): string =>
    rendered(`{% for i in [1, 2] %}{% generation %}${body}{% endgeneration %}{% endfor %}`);
  for (const ending of ["break", "continue"])
    assert.throws(() => loop(`{{ i }}{% ${ending} %}`), {
      message: `line 1: '${ending}' outside of a loop`,
    });
  assert.equal(loop("{% for j in [1, 2] %}{{ j }}{% break %}{% endfor %}"), "11");
});

void test("a generation mark in a comment is none", () => {
  const marks = (source: string): boolean => new JinjaTemplate(source, new Date()).hasGenerationMarks;
  const mark = "{% generation %}x{% endgeneration %}";
  assert.equal(marks(`{# ${mark} #}x`), false);
  assert.equal(marks("{{ '{% generation %}' }}"), false);
  for (const source of [mark, `{% for i in [1] %}{% if i %}${mark}{% endif %}{% endfor %}`])
    assert.equal(marks(source), true);
});

void test("endless recursion is Python's error", () => {
  const macro = "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}";
  const loop = "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}";
  for (const source of [macro, loop])
    assert.throws(() => new JinjaTemplate(source, new Date()).render({}), {
      name: "RenderError",
      message: "maximum recursion depth exceeded",
    });
});

void test("text that is nearly a number is refused as fast as other text", () => {
  assert.equal(rendered("{{ ('1' * 1000000 ~ 'x')|float }}"), "0.0");
});

void test("long runs of space in a template take no longer than other text", () => {
  const source = `${" ".repeat(2_000_000)}a{%- if true %}b{% endif %}`;
  assert.equal(new JinjaTemplate(source, new Date()).render({}).text.trim(), "ab");
});

void test("range beyond the sandbox's bound is Python's error", () => {
  assert.throws(() => new JinjaTemplate("{{ range(1000000000) }}", new Date()).render({}), {
    name: "RenderError",
    message: "Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000).",
  });
});

void test("a template's mistake and what isn't implemented are the user's errors, and name where the template is from", () => {
  const origin = "model/chat_template.jinja";
  const refused = (source: string, message: string): void =>
    assert.throws(() => new ChatTemplate(source, { origin }).render([]), { name: "UserError", message });
  const advice = "Give another template with model.chat_template";
  refused(
    "{% for %}",
    `chat template (${origin}): can't be parsed: line 1: unexpected block of end. ${advice}`,
  );
  refused(
    "{% include 'x' %}",
    `chat template (${origin}): not implemented: the tag {% include %}. ${advice}`,
  );
  refused("{{ 'x' | urlize }}", `chat template (${origin}): not implemented: the filter "urlize". ${advice}`);
  refused(
    "{{ 'x' * 100000000000 }}",
    `chat template (${origin}): stopped, since it makes text of more than 67,108,864 characters. ${advice}`,
  );
  refused(
    `{{ ${"(".repeat(50_000)}1${")".repeat(50_000)} }}`,
    `chat template (${origin}): can't be parsed: Maximum call stack size exceeded. ${advice}`,
  );
});
