// The recipes that the package brings: finding one by its name, for commands' --config and for `forge recipes`.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";

import { nearestWord } from "../config/index.ts";
import { UserError } from "../util/index.ts";

/** Where they lie, beside src/ and dist/. */
export const recipeFolder = join(import.meta.dirname, "..", "..", "recipes");

export interface Recipe {
  readonly name: string;
  readonly path: string;
  /** The first sentence of its comment. */
  readonly summary: string;
}

export function listRecipes(): Recipe[] {
  return readdirSync(recipeFolder)
    .filter((file) => file.endsWith(".yaml"))
    .toSorted()
    .map((file) => {
      const path = join(recipeFolder, file);
      return { name: basename(file, ".yaml"), path, summary: summaryOf(readFileSync(path, "utf8")) };
    });
}

function summaryOf(text: string): string {
  const [, ...comment] = /^(?:#.*\n)+/.exec(text)?.[0].trimEnd().split("\n") ?? [];
  const words = comment.map((line) => line.replace(/^# ?/, "").trim()).join(" ");
  return /^.*?[^.]\.(?= |$)/.exec(words)?.[0] ?? words;
}

/**
 * The file that --config names: one of the user's, or a recipe of the package (`smollm2_135m`, `recipes/smollm2_135m.yaml`).
 * @throws UserError where there is neither
 */
export function configFile(given: string): string {
  if (existsSync(given) && !statSync(given).isDirectory()) return given;
  const name = given.replace(/^(\.\/)?recipes\//, "").replace(/\.ya?ml$/, "");
  const recipes = listRecipes();
  const found = recipes.find((recipe) => recipe.name === name);
  if (found !== undefined) return found.path;
  const names = recipes.map((recipe) => recipe.name);
  const near = nearestWord(name, names);
  throw new UserError(
    `--config: expected a YAML file, or one of the recipes (${names.join(", ")}), found neither at ${given}${near === undefined ? "" : `; did you mean ${near}?`}`,
    { exitCode: 2 },
  );
}

/** @throws UserError naming those that there are */
export function recipeNamed(name: string): Recipe {
  const path = configFile(name);
  const found = listRecipes().find((recipe) => recipe.path === path);
  if (found === undefined)
    throw new UserError(`${name}: expected the name of a recipe; \`forge recipes\` lists them`, {
      exitCode: 2,
    });
  return found;
}
