// `forge recipes`: lists the configurations that the package brings, and copies one to be changed.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

import { Command } from "commander";

import { makeFolder, messageOf, UserError } from "../../util/index.ts";
import { listRecipes, recipeFolder, recipeNamed } from "../recipe-files.ts";
import { shellWord } from "../shell-word.ts";

export function command(): Command {
  const recipes = new Command("recipes")
    .option("--json", "print them as a JSON list")
    .addHelpText(
      "after",
      "\nA recipe's name is taken wherever --config takes a file.\n" +
        "\nExamples:\n  $ npx torchforge recipes\n" +
        "  $ npx torchforge sft --config smollm2_135m training.steps=50\n" +
        "  $ npx torchforge recipes copy smollm2_135m my.yaml",
    )
    .action((options: { json?: boolean }) => {
      const found = listRecipes();
      if (options.json === true) console.log(JSON.stringify(found, null, 2));
      else for (const { name, summary } of found) console.log(`${name.padEnd(20)} ${summary}`);
    });
  recipes
    .command("copy")
    .description("copy a recipe, to change it")
    .argument("<name>", "of a recipe")
    .argument("[file]", "where to (default: NAME.yaml here)")
    .action((name: string, file?: string) => {
      const target = file ?? `${recipeNamed(name).name}.yaml`;
      copyRecipe(name, target);
      console.log(`${target}\ntry it:     npx torchforge sft --config ${shellWord(target)} --print-config`);
    });
  return recipes;
}

function copyRecipe(name: string, target: string): void {
  const { path } = recipeNamed(name);
  if (existsSync(target))
    throw new UserError(`${target} is there already; give another name: forge recipes copy ${name} FILE`, {
      exitCode: 2,
    });
  // Editors complete from the package's schema.
  const schema = relative(dirname(target), join(recipeFolder, "schema.json"));
  const text = readFileSync(path, "utf8").replace("$schema=./schema.json", `$schema=${schema}`);
  try {
    makeFolder(dirname(target));
    writeFileSync(target, text);
  } catch (error) {
    throw new UserError(
      `${target}: expected a file that can be written, found that it can't: ${messageOf(error)}`,
      {
        exitCode: 2,
      },
    );
  }
}
