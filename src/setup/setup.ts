// `forge setup` as a function: installs libtorch and builds the addon, unless both exist.
import { existsSync } from "node:fs";

import { addonTarget, nativeDir } from "./addon-key.ts";
import { buildAddon } from "./build.ts";
import { describe, locateLibtorch, privateVenvDir, type Libtorch } from "./locate.ts";
import { torchInPrefix } from "./python.ts";
import { ensureVenv } from "./venv.ts";

export interface SetupOptions {
  /** pip's --index-url, used only if torch must be installed. */
  readonly indexUrl?: string | undefined;
  /** Folder of the addon's sources; for tests. */
  readonly dir?: string;
  readonly onProgress?: (line: string) => void;
}

export interface SetupResult {
  readonly libtorch: Libtorch;
  readonly addon: string;
  /** Whether anything had to be installed or built. */
  readonly changed: boolean;
}

/** Finds or installs libtorch, then builds the addon unless it is cached. */
export async function setup(options: SetupOptions = {}): Promise<SetupResult> {
  const located = locateLibtorch();
  const report = options.onProgress ?? (() => {});
  let libtorch = located.libtorch;
  let changed = false;
  if (libtorch === undefined) {
    for (const { from, root, reason } of located.rejected) report(`not using ${from} (${root}): ${reason}`);
    const venv = await ensureVenv({ indexUrl: options.indexUrl, onProgress: report });
    libtorch = describe(torchInPrefix(venv) ?? privateVenvDir(), "private venv");
    changed = true;
  }
  const dir = options.dir ?? nativeDir;
  if (existsSync(addonTarget(libtorch, dir).file)) {
    return { libtorch, addon: addonTarget(libtorch, dir).file, changed };
  }
  return { libtorch, addon: await buildAddon(libtorch, { dir, onProgress: report }), changed: true };
}
