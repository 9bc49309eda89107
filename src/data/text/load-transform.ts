// A user's function by the file that exports it (`training.message_transform: ./rows.ts#toMessages`), so that every process of a
// run can load it.
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { acceptTypeScript, expandHome, messageOf, UserError } from "../../util/index.ts";
import type { MessageTransform } from "./transform.ts";

export interface LoadedTransform {
  readonly transform: MessageTransform;
  /** The text of its file and of the files that this imports by their paths: other text may make other rows. */
  readonly text: string;
}

const key = "training.message_transform";
const example = "./rows.ts#toMessages";

/** File and export of a reference. @throws UserError */
function parse(reference: string): { file: string; name: string } {
  const at = reference.lastIndexOf("#");
  const [path, name] = at < 0 ? [reference, "default"] : [reference.slice(0, at), reference.slice(at + 1)];
  if (path === "" || name === "")
    throw new UserError(`${key}: expected FILE#NAME, such as ${example}; found ${reference}`, {
      exitCode: 2,
    });
  return { file: resolve(expandHome(path)), name };
}

/** What can be said before a process is started: whether the file is there. @throws UserError */
export function checkTransform(reference: string): void {
  const { file } = parse(reference);
  if (!existsSync(file) || !statSync(file).isFile())
    throw new UserError(
      `${key}: expected a file that exports the function, such as ${example}; found none at ${file}`,
      {
        exitCode: 2,
      },
    );
}

/** @throws UserError for a file that isn't there or can't be loaded, and for what it doesn't export */
export async function loadTransform(reference: string): Promise<LoadedTransform> {
  checkTransform(reference);
  const { file, name } = parse(reference);
  // With its time in the address an edited file is loaded anew, in a notebook's process too.
  const url = `${pathToFileURL(file).href}?changed=${statSync(file).mtimeMs}`;
  acceptTypeScript();
  let module: Record<string, unknown>;
  try {
    module = (await import(url)) as Record<string, unknown>;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const hint =
      code === "ERR_UNKNOWN_FILE_EXTENSION"
        ? "; TypeScript needs Node 22.15 or later, or write it as .mjs"
        : "";
    throw new UserError(`${key}: ${file} can't be loaded: ${messageOf(error)}${hint}`, {
      cause: error,
      exitCode: 2,
    });
  }
  const found = module[name];
  if (typeof found === "function")
    return { transform: found as MessageTransform, text: textsOf(file).join("\n") };
  const functions = Object.keys(module).filter((one) => typeof module[one] === "function");
  const has = functions.length > 0 ? `its functions: ${functions.join(", ")}` : "it exports no function";
  throw new UserError(
    `${key}: ${file} exports no function ${name} (${has}); write\n  export function ${name === "default" ? "toMessages" : name}(row) { return [{ role: "user", content: … }, …]; }`,
    { exitCode: 2 },
  );
}

/** A file's text, and that of the files which it imports by relative paths, and so on. */
function textsOf(file: string, seen = new Set<string>()): string[] {
  if (seen.has(file) || !existsSync(file) || !statSync(file).isFile()) return [];
  seen.add(file);
  const text = readFileSync(file, "utf8");
  const imports = text.matchAll(/(?:from|import|require)\s*\(?\s*["'](\.{1,2}\/[^"']+)["']/g);
  return [text, ...[...imports].flatMap(([, path]) => textsOf(resolve(dirname(file), path!), seen))];
}
