// Loads the compiled addon into this process, once, at the first tensor operation. Starts no child process unless the addon
// must be built. What the addon exports is typed in addon.ts.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";

import { addonTarget, autobuildProgram, findCompiler, requireLibtorch } from "../../setup/index.ts";
import { messageOf, UserError } from "../../util/index.ts";

let loaded: unknown;

/**
 * The addon's exports. Builds a missing addon if there is a compiler (progress on stderr), unless TORCHFORGE_AUTOBUILD is "0".
 * @throws UserError if libtorch is missing, or the addon is missing and can't be built
 */
export function loadAddon(): unknown {
  return (loaded ??= load());
}

function load(): unknown {
  const libtorch = requireLibtorch();
  const { file } = addonTarget(libtorch);
  if (!existsSync(file)) build();
  try {
    return createRequire(import.meta.url)(file) as unknown;
  } catch (error) {
    throw new UserError(
      `The addon does not load: ${messageOf(error)}\n  addon: ${file}\n  libtorch ${libtorch.version}: ${libtorch.libDir}\n` +
        "Remove the addon's folder and run `npx torchforge setup`; if that does not help, run `npx torchforge doctor`.",
      { cause: error },
    );
  }
}

function build(): void {
  if (process.env["TORCHFORGE_AUTOBUILD"] === "0" || findCompiler() === undefined) {
    throw new UserError(
      "torchforge's addon is not built for this libtorch yet. Run `npx torchforge setup` (it takes some minutes, once).",
    );
  }
  const { execFileSync } = process.getBuiltinModule("node:child_process");
  try {
    execFileSync(process.execPath, [autobuildProgram], { stdio: ["ignore", 2, 2], env: process.env });
  } catch (error) {
    throw new UserError(
      "torchforge's addon could not be built (see above). Run `npx torchforge doctor` to see what is missing.",
      { cause: error },
    );
  }
}
