// `forge config schema | explain | print | presets`: shows configurations. Runs nothing and loads no model.
import { Command } from "commander";
import pc from "picocolors";

import { explain, explanationText, jsonSchema, presetTable, type Difference } from "../../config/index.ts";
import { configFrom, configOption, overridesArgument } from "../config-from.ts";

interface PrintOptions {
  readonly config?: string;
  readonly changes?: boolean;
  readonly json?: boolean;
}

export function command(): Command {
  const config = new Command("config").addHelpText(
    "after",
    "\nExamples:\n  $ npx torchforge config explain training.max_norm\n" +
      "  $ npx torchforge config print --config recipes/smollm2_135m.yaml training.steps=100 '~training.seed'",
  );
  config
    .command("explain")
    .description("type, default, advice and rules of a key, or the keys of a section")
    .argument("[key]", "e.g. training.max_norm or training; without it, all sections")
    .action((key: string | undefined) => {
      if (key !== undefined) console.log(explanationText(explain(key)));
      else for (const name of sectionNames()) console.log(`${name.padEnd(22)} ${explain(name).doc}`);
    });
  config
    .command("print")
    .description("check a configuration and print it whole, marking what differs from the defaults")
    .option(...configOption)
    .argument(...overridesArgument)
    .option("--changes", "only what differs from the defaults")
    .option("--json", "as JSON")
    .addHelpText("after", "\nWhat is valid but not supported yet is printed, and named on standard error.")
    .action((overrides: string[], options: PrintOptions) => {
      console.log(renderConfig(options, overrides));
    });
  config
    .command("schema")
    .description("the JSON Schema, for completion in editors")
    .addHelpText(
      "after",
      "\nSave it beside your YAML file, whose first line is then\n" +
        "  # yaml-language-server: $schema=./schema.json\n\nExample:\n  $ npx torchforge config schema > schema.json",
    )
    .action(() => console.log(JSON.stringify(jsonSchema(), null, 2)));
  config
    .command("presets")
    .description("the scenarios that are ready to be used")
    .action(() => {
      for (const { name, recipe, summary } of Object.values(presetTable)) {
        console.log(`presets.${name.padEnd(18)} recipes/${recipe.padEnd(24)} ${summary}`);
      }
    });
  return config;
}

function sectionNames(): string[] {
  return Object.keys(jsonSchema()["properties"] as object);
}

function renderConfig(options: PrintOptions, overrides: readonly string[]): string {
  const config = configFrom(options.config, overrides, { allowUnsupported: true });
  for (const text of [...config.unsupported, ...config.warnings]) {
    console.error(`${pc.yellow("warning:")} ${text}`);
  }
  if (options.json === true) {
    const changes = Object.fromEntries(config.changes().map(({ key, after }: Difference) => [key, after]));
    return JSON.stringify(options.changes === true ? changes : config, null, 2);
  }
  return config.toYaml({ markDefaults: true, onlyChanges: options.changes === true }).trimEnd();
}
