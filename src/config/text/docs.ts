// The reference page of the configuration and its TypeScript types, written from the schema.
// Only texts are made here; scripts/generate-config-docs.ts puts them into files.
import type { z } from "zod";

import { checks } from "../rules/checks.ts";
import { describeType, jsonOf, type Json } from "../schema/describe.ts";
import { defaultText } from "./explain.ts";
import { metaOf } from "../schema/key.ts";
import { allKeys, elementOf, shapeOf, type Key } from "../schema/keys.ts";
import { schema } from "../schema/schema.ts";
import { unsupported } from "../rules/support.ts";

/** docs/configuration.md. */
export function docsPage(): string {
  const lines = [
    "<!-- Generated from src/config/sections by scripts/generate-config-docs.ts; do not edit. -->",
    "",
    "# Configuration",
    "",
    "Every section and key, with its default. The same keys are used in YAML files, in code (`Config.create`) and on",
    "the command line (`training.steps=100`, `~training.seed`). An unknown key or a wrong value is an error, and all",
    "errors of a configuration are reported at once. A value may be `${section.key}` or `${oc.env:VARIABLE,default}`; the",
    "latter is written as it is wherever a configuration is kept or shown, since what it stands for may be secret.",
    "",
    "`npx torchforge config explain training.max_norm` shows one key, `npx torchforge config print --config FILE` a whole",
    "configuration. [recipes/](../recipes) holds complete ones.",
  ];
  for (const key of allKeys()) {
    if (!key.isSection || key.path.length > 1) continue;
    lines.push("", `## ${key.name}`, "", key.meta.description, "", ...table(leavesOf(key.name), key.name));
  }
  lines.push(
    "",
    "## Data sets",
    "",
    "Each entry of `training.datasets` and of `eval.datasets`:",
    "",
    ...table(
      allKeys().filter(({ name }) => name.startsWith("training.datasets[].")),
      "training.datasets[]",
    ),
    "",
    "## Rules over several keys",
    "",
    ...checks.map(({ rule, severity }) => `- ${code(rule)}${severity === "warning" ? " (a warning)" : ""}`),
    "",
    "## Not supported yet",
    "",
    "These keys take only the values that do what they say; others are refused.",
    "",
    "| key | in place of it |",
    "|---|---|",
    ...unsupported.map(({ key, instead }) => `| \`${key}\` | ${cell(instead)} |`),
    "",
  );
  return lines.join("\n");
}

function leavesOf(section: string): Key[] {
  return allKeys().filter(
    ({ name, isSection }) => !isSection && name.startsWith(`${section}.`) && !name.includes("[]"),
  );
}

function table(keys: readonly Key[], prefix: string): string[] {
  return [
    "| key | type | default | |",
    "|---|---|---|---|",
    ...keys.map((key) => {
      const { description, unit, advice } = key.meta;
      const text = [description, advice].filter((part) => part !== undefined).join(" ");
      const type = `${describeType(key.schema)}${unit === undefined ? "" : ` (${unit})`}`;
      return `| \`${key.name.slice(prefix.length + 1)}\` | ${cell(type)} | ${cell(defaultText(key))} | ${cell(code(text))} |`;
    }),
  ];
}

const cell = (text: string) => text.replaceAll("|", "\\|");

/** Full key names in running text, set as code. */
function code(text: string): string {
  const names = allKeys()
    .filter(({ path }) => path.length > 1)
    .map(({ name }) => name);
  return text.replaceAll(/(?<![`\w.])[a-z_]+\.[a-z_.]*[a-z_](?![`\w])/g, (word) =>
    names.includes(word) ? `\`${word}\`` : word,
  );
}

/** Which types are written: of a resolved configuration, or of what Config.create takes. */
type Kind = "Section" | "Input";

/**
 * src/config/generated/types.ts: what z.output infers and what Config.create takes, with each key's documentation.
 * Written out because editors lose the documentation of keys behind mapped types.
 */
export function typesFile(): string {
  const dataset = elementOf(allKeys().find(({ name }) => name === "training.datasets")!.schema)!;
  const sections = Object.entries(shapeOf(schema)!);
  const lines = [
    "// Generated from src/config/sections by scripts/generate-config-docs.ts; do not edit.",
    "// The types of a resolved configuration (…Section) and of what Config.create takes (…Input), each key with its",
    "// documentation, which editors show on hover.",
    "",
    "/** `${section.key}` or `${oc.env:VAR,default}`, allowed wherever a value is. */",
    "export type Interpolation = `${string}\\${${string}}${string}`;",
    "",
    ...interfaceOf("DatasetSpec", dataset, "One data set, resolved.", "Section"),
    "",
    ...interfaceOf("DatasetInput", dataset, "One data set of training.datasets or eval.datasets.", "Input"),
  ];
  for (const kind of ["Section", "Input"] as const) {
    for (const [name, type] of sections) {
      lines.push("", ...interfaceOf(interfaceName(name, kind), type, metaOf(type).description, kind));
    }
    lines.push(
      "",
      kind === "Section"
        ? "/** Every section, every key, resolved: what a run works with. */"
        : "/** What `Config.create` takes: any part of the configuration; only model.hf_assets_path must be there. */",
      `export interface ${kind === "Section" ? "TorchforgeConfig" : "ConfigInput"} {`,
    );
    for (const [name, type] of sections) {
      const typeName = interfaceName(name, kind);
      const member =
        kind === "Section" ? `readonly ${name}: ${typeName};` : `readonly ${name}?: ${typeName} | undefined;`;
      lines.push(`  /** ${metaOf(type).description} */`, `  ${member}`);
    }
    lines.push("}");
  }
  return `${lines.join("\n")}\n`;
}

/** lr_scheduler -> LrSchedulerSection. */
const interfaceName = (section: string, kind: Kind): string =>
  section.replaceAll(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase()) + kind;

function interfaceOf(name: string, type: z.ZodType, doc: string, kind: Kind): string[] {
  return [`/** ${doc} */`, `export interface ${name} {`, ...members(type, "  ", kind), "}"];
}

function members(type: z.ZodType, indent: string, kind: Kind): string[] {
  return Object.entries(shapeOf(type)!).flatMap(([name, child]) => {
    const meta = metaOf(child);
    const declared = `readonly ${name}${kind === "Section" ? "" : "?"}: `;
    const end = kind === "Section" ? ";" : " | undefined;";
    if (shapeOf(child) !== undefined) {
      return [
        `${indent}/** ${meta.description} */`,
        `${indent}${declared}{`,
        ...members(child, `${indent}  `, kind),
        `${indent}}${end}`,
      ];
    }
    const parts = [meta.description];
    if (meta.unit !== undefined) parts.push(`Unit: ${meta.unit}.`);
    if (meta.advice !== undefined) parts.push(meta.advice);
    const standard = child.safeParse(undefined);
    const byDefault = meta.defaultNote ?? JSON.stringify(standard.data);
    return [
      `${indent}/**`,
      ...parts.map((part) => `${indent} * ${part}`),
      ...(standard.success ? [`${indent} * @default ${byDefault}`] : []),
      `${indent} */`,
      `${indent}${declared}${typeText(child, kind)}${end}`,
    ];
  });
}

function typeText(type: z.ZodType, kind: Kind): string {
  const element = elementOf(type);
  if (element !== undefined && shapeOf(element) !== undefined) {
    return kind === "Section" ? "DatasetSpec[]" : "readonly DatasetInput[] | Interpolation";
  }
  const text = jsonTypeText(jsonOf(type));
  if (kind === "Section") return text;
  const isList = element !== undefined;
  // Plain text has room for an interpolation already.
  const hasText = !isList && text.split(" | ").includes("string");
  return `${isList ? "readonly " : ""}${text}${hasText ? "" : " | Interpolation"}`;
}

function jsonTypeText(json: Json): string {
  if (json.anyOf !== undefined) {
    const options = new Set(json.anyOf.map((option) => jsonTypeText(option)));
    // A literal such as -1 says nothing beside number.
    const kept = [...options].filter((option) => !options.has("number") || Number.isNaN(Number(option)));
    return kept.join(" | ");
  }
  if (json.const !== undefined) return JSON.stringify(json.const);
  if (json.enum !== undefined) return json.enum.map((value) => JSON.stringify(value)).join(" | ");
  switch (json.type) {
    case "integer":
      return "number";
    case "array":
      return `(${jsonTypeText(json.items as Json)})[]`;
    case "object":
      return `Record<string, ${jsonTypeText(json.additionalProperties as Json)}>`;
    case "number":
    case "boolean":
    case "string":
    case "null":
      return json.type;
    default:
      throw new Error(`no TypeScript type for ${JSON.stringify(json)}`);
  }
}
