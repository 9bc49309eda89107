// The model: a flavor is one of a family.
import { type Check, when } from "./check.ts";

export const modelChecks: readonly Check[] = [
  {
    keys: ["model.flavor", "model.name"],
    severity: "error",
    rule: "model.flavor needs model.name",
    run: ({ model: m }) =>
      when(
        m.flavor !== null && m.name === null,
        () =>
          `model.flavor (${m.flavor}) needs model.name, the family whose sizes it is one of, e.g. llama3; leave both out, and config.json of model.hf_assets_path decides`,
      ),
  },
];
