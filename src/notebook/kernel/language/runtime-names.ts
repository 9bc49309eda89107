// Looks expressions up in the running program, where TypeScript knows no type: names of properties, and a value's description.
// V8 evaluates only expressions without side effects.
import type { MainThread } from "../main-thread.ts";

/** `a.b[0].` before the cursor: the expression whose properties are completed. */
const beforeDot =
  /((?:[\p{L}_$][\p{L}\p{N}_$]*)(?:\.[\p{L}_$][\p{L}\p{N}_$]*|\[\d+\]|\["[^"]*"\])*)\??\.[\p{L}\p{N}_$]*$/u;
const name = /[\p{L}_$][\p{L}\p{N}_$]*(?:\.[\p{L}_$][\p{L}\p{N}_$]*)*$/u;
const maxChainLength = 20;

/** Properties of the expression before the last dot of `code`, own ones first. */
export async function propertiesBefore(main: MainThread, code: string): Promise<string[]> {
  const expression = beforeDot.exec(code)?.[1];
  if (expression === undefined) return [];
  let object = await main.evaluate(`Object(${expression})`);
  const names = new Set<string>();
  for (let i = 0; object?.objectId !== undefined && i < maxChainLength; i++) {
    const { result, internalProperties } = await main.propertiesOf(object.objectId);
    if (i > 0 && result.some((one) => one.name === "hasOwnProperty")) break; // nobody wants Object.prototype's
    for (const property of result) {
      if (property.symbol === undefined && /^[\p{L}_$]/u.test(property.name)) names.add(property.name);
    }
    object = internalProperties?.find((one) => one.name === "[[Prototype]]")?.value;
  }
  await main.release();
  names.delete("constructor");
  return [...names];
}

/** The current value of the name at the cursor; undefined if it isn't a plain name. */
export async function describeAt(
  main: MainThread,
  code: string,
  position: number,
): Promise<string | undefined> {
  const end = position + /^[\p{L}\p{N}_$]*/u.exec(code.slice(position))![0].length;
  const expression = name.exec(code.slice(0, end))?.[0];
  if (expression === undefined) return undefined;
  const found = await main.evaluate(expression);
  await main.release();
  if (found === undefined || found.type === "function" || found.type === "undefined") return undefined;
  const text = found.description ?? String(found.value);
  return text.length > 500 ? `${text.slice(0, 500)} …` : text;
}
