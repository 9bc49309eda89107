// Advice that is printed can be followed: every command that a text names takes what the text gives it, and every key is one. That
// advice helps is tested where it is given; that of the configuration's checks in config/rules/checks.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";

import type { ts } from "@ts-morph/common";
import { type Command, CommanderError } from "commander";

import { allKeyNames } from "../config/index.ts";
import { loadTypeScript, messageOf } from "../util/index.ts";
import { commands } from "./commands.ts";

const source = resolve(import.meta.dirname, "..");

/** Every text in the sources, with its file and line: literals, and templates with … for what is put in. */
function* texts(): Generator<{ text: string; place: string }> {
  const compiler = loadTypeScript();
  for (const name of readdirSync(source, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".ts") || name.endsWith(".test.ts") || name.includes("generated")) continue;
    const code = readFileSync(join(source, name), "utf8");
    const file = compiler.createSourceFile(name, code, compiler.ScriptTarget.Latest, true);
    const found: { text: string; place: string }[] = [];
    const visit = (node: ts.Node): void => {
      const place = `${name}:${file.getLineAndCharacterOfPosition(node.getStart()).line + 1}`;
      if (compiler.isStringLiteral(node) || compiler.isNoSubstitutionTemplateLiteral(node))
        found.push({ text: node.text, place });
      else if (compiler.isTemplateExpression(node))
        found.push({
          text: node.head.text + node.templateSpans.map(({ literal }) => `…${literal.text}`).join(""),
          place,
        });
      compiler.forEachChild(node, visit);
    };
    visit(file);
    yield* found;
  }
}

/** The words of a command line that a text names: up to what a shell or the sentence goes on with. */
function wordsOf(line: string): string[] {
  const words = [...line.matchAll(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g)].map(([word]) => word);
  const end = words.findIndex((word) => /^(?:&&|>|says|and|to|what|in|as|where|shows|lists)$/.test(word));
  const stop = words.findIndex((word) => word.endsWith("."));
  const own = words.slice(0, Math.min(end < 0 ? Infinity : end, stop < 0 ? Infinity : stop + 1));
  return own.map((word) => word.replace(/\.$/, "").replace(/^(['"])(.*)\1$/, "$2")).filter(Boolean);
}

/** Makes a command read its arguments and do nothing, and throw where they are wrong. */
function onlyParse(command: Command): Command {
  for (const one of [command, ...command.commands])
    one
      .exitOverride()
      .configureOutput({ writeErr: () => {} })
      .action(() => {});
  return command;
}

test("every command that a text names takes what the text gives it", { timeout: 240_000 }, async () => {
  const known = new Map(commands.map(({ name, load }) => [name, load]));
  let count = 0;
  const wrong: string[] = [];
  for (const { text, place } of texts())
    for (const [all, name, rest] of text.matchAll(
      /(?:npx (?:torch)?forge|`(?:torch)?forge|: (?:torch)?forge) ([a-z][a-z-]*)((?:"[^"\n]*"|'[^'\n]*'|[^`\n);,"'])*)/g,
    )) {
      count++;
      const load = known.get(name!);
      const words = wordsOf(rest!);
      try {
        if (load === undefined) throw new Error("there is no such command");
        onlyParse((await load()).command()).parse(words, { from: "user" });
      } catch (error) {
        // `forge plot` names the command, and doesn't say how it is given.
        const isNamed = !words.some((word) => /^-|[=/…]/.test(word)) && all.startsWith("`");
        if (isNamed && error instanceof CommanderError && error.code.startsWith("commander.missing"))
          continue;
        wrong.push(`${place}: ${all}: ${messageOf(error)}`);
      }
    }
  assert.deepEqual(wrong, []);
  assert.ok(count > 60, String(count));
});

/** Every key, and every section or group of some. */
const known = new Set(
  allKeyNames().flatMap((name) => name.split(".").map((_, i, parts) => parts.slice(0, i + 1).join("."))),
);
const sections = [...known].filter((name) => !name.includes("."));

/** Names that look like keys: sections have the names of our own things, too. */
const others =
  /^(?:comm\.(?:ts|md)|lr_scheduler\.step$|model\.gguf|model\.(?:safetensors|layers|embed|norm|language_model)|checkpoint\.ts|optimizer\.safetensors|eval\.ts)/;

test("every key that a text names is one", { timeout: 240_000 }, () => {
  const named = new RegExp(`(?<![\\w./"$-])(?:${sections.join("|")})(?:\\.[a-z_]+)+(?![\\w(]|\\.[a-z])`, "g");
  let count = 0;
  const wrong: string[] = [];
  for (const { text, place } of texts()) {
    // What is said of keys that aren't ours names them.
    if (place.startsWith("config/rules/support.ts") || place.startsWith("config/rules/other-tools.ts"))
      continue;
    for (const [key] of text.matchAll(named)) {
      if (others.test(key)) continue;
      count++;
      if (!known.has(key)) wrong.push(`${place}: ${key}`);
    }
  }
  assert.deepEqual(wrong, []);
  assert.ok(count > 300, String(count));
});
