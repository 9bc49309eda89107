// The module file of a class, from which a worker process can import it: an own static `module`, or where V8 says that the
// class was written. Not for classes of a notebook cell, the REPL or eval: no other process can load those.
import { Session } from "node:inspector";
import { fileURLToPath, pathToFileURL } from "node:url";

import { UserError } from "../../util/index.ts";
import type { ActorClass } from "../base-forge-actor.ts";

/** How another process gets a class. */
export interface ClassPlace {
  /** A file: URL. */
  url: string;
  /** Its name among the module's exports. */
  name: string;
}

/** @throws UserError for a class that is in no module file, or that its module doesn't export */
export async function placeOf(actorClass: ActorClass): Promise<ClassPlace> {
  const url = Object.hasOwn(actorClass, "module") ? actorClass.module : scriptOf(actorClass);
  if (!url?.startsWith("file:")) throw noFile(actorClass.name);
  // The program's own file may be waiting for us (top-level await): it can't be imported here. The worker will tell.
  if (process.argv[1] !== undefined && url === pathToFileURL(process.argv[1]).href)
    return { url, name: actorClass.name };
  const module = (await import(url)) as Record<string, unknown>;
  const name = Object.keys(module).find((one) => module[one] === actorClass);
  if (name !== undefined) return { url, name };
  throw new UserError(
    `${actorClass.name}: its file ${fileURLToPath(url)} doesn't export it, so a worker process can't get it; write\n  export class ${actorClass.name} extends …`,
  );
}

function noFile(name: string): UserError {
  const shown = name || "MyActor";
  const file = shown.replaceAll(/(?<=[a-z0-9])(?=[A-Z])/g, "-").toLowerCase();
  return new UserError(
    `${shown} is defined in a notebook cell or in evaluated code, which can't be sent to a worker process. Put the class into a file ` +
      `of its own, ${file}.ts, exported, and import it:\n` +
      `  export class ${shown} extends BaseForgeActor { … }   // in ${file}.ts\n` +
      `  import { ${shown} } from "./${file}.ts";   // here`,
  );
}

const slot = Symbol.for("torchforge.located");

/** URL of the script that a class or function was compiled from, as V8 knows it. */
function scriptOf(given: unknown): string | undefined {
  const holder = globalThis as unknown as Record<symbol, unknown>;
  const session = new Session();
  session.connect();
  try {
    const urls = new Map<string, string>();
    session.on("Debugger.scriptParsed", ({ params }) => urls.set(params.scriptId, params.url));
    session.post("Debugger.enable");
    holder[slot] = given;
    let objectId: string | undefined;
    session.post(
      "Runtime.evaluate",
      { expression: 'globalThis[Symbol.for("torchforge.located")]' },
      (_, found) => (objectId = found?.result.objectId),
    );
    let scriptId: string | undefined;
    if (objectId !== undefined) {
      session.post("Runtime.getProperties", { objectId, ownProperties: true }, (_, found) => {
        const location = found?.internalProperties?.find(({ name }) => name === "[[FunctionLocation]]");
        scriptId = (location?.value?.value as { scriptId?: string } | undefined)?.scriptId;
      });
    }
    const url = scriptId === undefined ? undefined : urls.get(scriptId);
    // CommonJS modules are known by their path.
    return url?.startsWith("/") ? pathToFileURL(url).href : url;
  } finally {
    delete holder[slot];
    session.disconnect();
  }
}
