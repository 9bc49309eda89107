// Finds the module file of a class, from which a worker process can import it: its static `module`, or the file that V8
// reports. Classes of a notebook cell, the REPL or eval have none, so no other process can load them.
import { Session } from "node:inspector";
import { fileURLToPath, pathToFileURL } from "node:url";

import { UserError } from "../../util/index.ts";
import type { ActorClass } from "../base-forge-actor.ts";

/** Where another process can import a class. */
export interface ClassLocation {
  /** A file: URL. */
  url: string;
  /** Its name among the module's exports. */
  name: string;
}

/** @throws UserError if the class is in no module file, or its module doesn't export it */
export async function locateClass(actorClass: ActorClass): Promise<ClassLocation> {
  const url = Object.hasOwn(actorClass, "module") ? actorClass.module : scriptUrl(actorClass);
  if (!url?.startsWith("file:")) throw notInFileError(actorClass.name);
  // The main program may be waiting for us in a top-level await, so importing it here would deadlock. The worker checks it.
  if (process.argv[1] !== undefined && url === pathToFileURL(process.argv[1]).href)
    return { url, name: actorClass.name };
  const module = (await import(url)) as Record<string, unknown>;
  const name = Object.keys(module).find((one) => module[one] === actorClass);
  if (name !== undefined) return { url, name };
  throw new UserError(
    `${actorClass.name}: its file ${fileURLToPath(url)} doesn't export it, so a worker process can't get it; write\n  export class ${actorClass.name} extends …`,
  );
}

function notInFileError(name: string): UserError {
  const className = name || "MyActor";
  const file = className.replaceAll(/(?<=[a-z0-9])(?=[A-Z])/g, "-").toLowerCase();
  return new UserError(
    `${className} is defined in a notebook cell or in evaluated code, which can't be sent to a worker process. Put the class into a file ` +
      `of its own, ${file}.ts, exported, and import it:\n` +
      `  export class ${className} extends BaseForgeActor { … }   // in ${file}.ts\n` +
      `  import { ${className} } from "./${file}.ts";   // here`,
  );
}

/** To ask V8 takes a tenth of a second: it then looks at every script that is loaded. */
const located = new WeakMap<ActorClass, string | undefined>();

function scriptUrl(actorClass: ActorClass): string | undefined {
  if (!located.has(actorClass)) located.set(actorClass, scriptUrlOf(actorClass));
  return located.get(actorClass);
}

const slot = Symbol.for("torchforge.located");

/** URL of the script that a class or function was compiled from, according to V8. */
function scriptUrlOf(given: unknown): string | undefined {
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
    // V8 knows CommonJS modules by their path.
    return url?.startsWith("/") ? pathToFileURL(url).href : url;
  } finally {
    delete holder[slot];
    session.disconnect();
  }
}
