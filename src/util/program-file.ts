// Files of ours that are run in a thread or process of their own, beside the module that names them. A bundler that packs
// torchforge into one file leaves them behind.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { UserError } from "./errors.ts";

/** @throws UserError where the file isn't there */
export function requireProgram(file: URL): URL {
  if (existsSync(fileURLToPath(file))) return file;
  throw new UserError(
    `${fileURLToPath(file)} isn't there: a bundler has packed torchforge, which starts files of its own in threads and processes. Mark the package external (esbuild --external:torchforge, Vite ssr.external, webpack externals), so that it stays in node_modules.`,
  );
}

/** Bun or Deno with its version, whose child processes and native addons are not Node's; undefined under Node. */
export function otherRuntime(
  versions: Readonly<Record<string, string | undefined>> = process.versions,
): string | undefined {
  const name = versions["bun"] !== undefined ? "Bun" : versions["deno"] !== undefined ? "Deno" : undefined;
  return name === undefined ? undefined : `${name} ${versions[name.toLowerCase()]}`;
}

/** @throws UserError where this is not Node */
export function requireNode(what: string, versions?: Readonly<Record<string, string | undefined>>): void {
  const other = otherRuntime(versions);
  if (other !== undefined)
    throw new UserError(`${what} needs Node, found ${other}; run the program with node.`);
}
