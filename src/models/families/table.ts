// What is told of a family to people: a row of the table in docs/models-and-data-sets.md and of `forge models`.
import type { Family } from "./family.ts";

export interface FamilyRow {
  /** `model_type` in config.json. */
  readonly modelType: string;
  readonly models: string;
  readonly differs: string;
  readonly limits: readonly string[];
  /** `name flavor`, as model.name and model.flavor. */
  readonly sizes: readonly string[];
}

export function familyRow({ modelType, models, differs, limits = [], flavors }: Family): FamilyRow {
  const sizes = Object.entries(flavors).flatMap(([name, own]) =>
    Object.keys(own)
      .filter((flavor) => flavor !== "debugmodel")
      .map((flavor) => `${name} ${flavor}`),
  );
  return { modelType, models, differs, limits, sizes };
}
