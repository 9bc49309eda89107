// Checks that a value may cross between processes: plain data that structured clone copies. A class instance would arrive
// without its class, and a tensor without its memory, so both are refused here with their path.
import { UserError } from "../../util/index.ts";

const cloneableClasses = [ArrayBuffer, Date, RegExp, Error];

/**
 * @param what names the value in the error, e.g. `actor.model`
 * @throws UserError for anything in it that can't cross
 */
export function checkPlain(value: unknown, what: string): void {
  const seen = new Set<object>();
  const visit = (one: unknown, path: string): void => {
    if (typeof one === "function" || typeof one === "symbol") throw notPlainError(path, `a ${typeof one}`);
    if (typeof one !== "object" || one === null || seen.has(one)) return;
    if (ArrayBuffer.isView(one) || cloneableClasses.some((kind) => one instanceof kind)) return;
    seen.add(one);
    if (Array.isArray(one)) {
      for (const [i, entry] of one.entries()) visit(entry, `${path}[${i}]`);
    } else if (one instanceof Map) {
      for (const [key, entry] of one) {
        visit(key, `a key of ${path}`);
        visit(entry, `${path}.get(${String(key)})`);
      }
    } else if (one instanceof Set) {
      for (const entry of one) visit(entry, `an entry of ${path}`);
    } else {
      const prototype: unknown = Object.getPrototypeOf(one);
      if (prototype !== null && prototype !== Object.prototype) {
        const name = (one.constructor as { name?: string } | undefined)?.name || "nameless class";
        throw notPlainError(path, `a ${name}`);
      }
      for (const [key, entry] of Object.entries(one)) visit(entry, `${path}.${key}`);
    }
  };
  visit(value, what);
}

function notPlainError(path: string, found: string): UserError {
  return new UserError(
    `${path} is ${found}, which can't leave its process: only plain data crosses (numbers, strings, lists, objects, ` +
      "typed arrays, Map, Set, Date). Give the actor a method that returns plain data made from it, e.g. tensor.tolist(), and call that.",
  );
}
