// Actors of training refuse what they can't do, also when the configuration was made to allow it.
import type { Config } from "../../config/index.ts";
import { UserError } from "../../util/index.ts";

/** @throws UserError naming every key whose value isn't supported yet */
export function refuseUnsupported(config: Config): void {
  const { unsupported } = config;
  if (unsupported.length > 0) throw new UserError(unsupported.join("\n"), { exitCode: 2 });
}
