import { modelChecks } from "./model.ts";
import { tryChecks } from "./testing.ts";

tryChecks(modelChecks, {
  refused: [
    [
      { model: { hf_assets_path: "m", flavor: "8B" } },
      "model.flavor (8B) needs model.name, the family whose sizes it is one of, e.g. llama3; leave both out, and config.json of model.hf_assets_path decides",
      [["model.name=llama3"], ["~model.flavor"]],
    ],
  ],
});
