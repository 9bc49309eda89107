// The chat templates of a model folder by name, as Transformers finds them, and which of them is taken. Not rendering.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expandHome, readJsonObject, UserError } from "../../util/index.ts";
import { isRecord } from "../types.ts";

export interface NamedTemplate {
  readonly text: string;
  /** The file that it is from. */
  readonly file: string;
}

/** By name: `default`, `tool_use`, and others that a model brings. */
export type NamedTemplates = Readonly<Record<string, NamedTemplate>>;

export const defaultName = "default";
/** Taken for rows with tools, where there is one. */
export const toolUseName = "tool_use";

const extraFolder = "additional_chat_templates";

/**
 * Templates that lie in files of their own: chat_template.jinja and additional_chat_templates. Where there is one, those of
 * tokenizer_config.json don't count. chat_template.json, of older models with images, is the last resort.
 */
export function readTemplates(folder: string, config: Readonly<Record<string, unknown>>): NamedTemplates {
  const files = [
    [defaultName, "chat_template.jinja"] as const,
    ...extraTemplates(folder).map(
      (file) => [file.slice(0, -".jinja".length), `${extraFolder}/${file}`] as const,
    ),
  ];
  const found = files.filter(([, file]) => existsSync(join(folder, file)));
  if (found.length > 0)
    return Object.fromEntries(
      found.map(([name, file]) => [name, { text: readFileSync(join(folder, file), "utf8"), file }]),
    );
  const configured = configTemplates(config["chat_template"], "tokenizer_config.json");
  if (Object.keys(configured).length > 0) return configured;
  const legacy = "chat_template.json";
  return existsSync(join(folder, legacy))
    ? configTemplates(readJsonObject(join(folder, legacy))["chat_template"], legacy)
    : {};
}

function extraTemplates(folder: string): string[] {
  const extra = join(folder, extraFolder);
  return existsSync(extra)
    ? readdirSync(extra)
        .filter((name) => name.endsWith(".jinja"))
        .sort()
    : [];
}

/** What a JSON file says: one template, or a list of `{ name, template }`. */
export function configTemplates(value: unknown, file: string): NamedTemplates {
  if (typeof value === "string") return { [defaultName]: { text: value, file } };
  const named = Array.isArray(value) ? value.filter(isRecord) : [];
  return Object.fromEntries(
    named.flatMap(({ name, template }) =>
      typeof name === "string" && typeof template === "string" ? [[name, { text: template, file }]] : [],
    ),
  );
}

/**
 * The template that `model.chat_template` gives: one of the model's by name, a file, or its text.
 * @throws UserError for what is none of them.
 */
export function chosenTemplate(choice: string, templates: NamedTemplates): NamedTemplate {
  const named = Object.hasOwn(templates, choice) ? templates[choice] : undefined;
  if (named !== undefined) return named;
  if (/\{[{%]/.test(choice)) return { text: choice, file: "model.chat_template" };
  const path = expandHome(choice);
  const names = Object.keys(templates);
  try {
    return { text: readFileSync(path, "utf8"), file: path };
  } catch (error) {
    throw new UserError(
      `model.chat_template: expected the name of one of the model's chat templates (${names.join(", ") || "it has none"}), ` +
        `a file, or a template's text, found "${choice}"`,
      { cause: error, exitCode: 2 },
    );
  }
}
