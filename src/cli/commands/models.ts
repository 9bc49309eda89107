// `forge models`: lists the model families that are known, or tells more of one.
import { Command } from "commander";

import { families, familyRow, type FamilyRow } from "../../models/families/index.ts";
import { UserError } from "../../util/index.ts";

export function command(): Command {
  return new Command("models")
    .argument("[type]", "model_type in config.json, or model.name: more of that family")
    .option("--json", "print it as JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  $ npx torchforge models\n  $ npx torchforge models gemma2\n\n" +
        "Any checkpoint of these types can be trained, of whatever size: its config.json decides.",
    )
    .action((type: string | undefined, options: { json?: boolean }) => {
      const rows = families.map(familyRow);
      const meant = type === undefined ? rows : [rowOf(rows, type)];
      if (options.json === true) console.log(JSON.stringify(type === undefined ? meant : meant[0], null, 2));
      else console.log(type === undefined ? asTable(meant) : asText(meant[0]!));
    });
}

function rowOf(rows: readonly FamilyRow[], type: string): FamilyRow {
  const found = rows.find(
    ({ modelType, sizes }) => modelType === type || sizes.some((size) => size.startsWith(`${type} `)),
  );
  if (found !== undefined) return found;
  throw new UserError(
    `models: expected one of ${rows.map(({ modelType }) => modelType).join(", ")}, found ${JSON.stringify(type)}`,
    { exitCode: 2 },
  );
}

function asTable(rows: readonly FamilyRow[]): string {
  const [types, models] = [
    Math.max(...rows.map(({ modelType }) => modelType.length)),
    Math.max(...rows.map((row) => row.models.length)),
  ];
  const lines = rows.map((row) =>
    [row.modelType.padEnd(types), row.models.padEnd(models), row.differs].join("  "),
  );
  return [...lines, "", "More of one: npx torchforge models TYPE"].join("\n");
}

function asText({ modelType, models, differs, limits, sizes }: FamilyRow): string {
  const [name, flavor] = sizes.at(0)?.split(" ") ?? [];
  return [
    `${modelType}: ${models}`,
    `its own     ${differs}`,
    `sizes       ${sizes.join(", ")}`,
    `supported   training whole, with adapters and with frozen parts; FSDP, tensor, pipeline and context parallelism${differs.includes("experts") ? ", expert parallelism" : ""}; generate, chat, eval, plan; exports for Transformers and vLLM`,
    ...limits.map((limit) => `not         ${limit}`),
    `example     npx torchforge sft model.hf_assets_path=hf://ORG/NAME model.name=${name} model.flavor=${flavor} training.dataset=rows.jsonl`,
  ].join("\n");
}
