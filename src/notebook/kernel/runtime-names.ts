// What the running program itself says about an expression, where TypeScript knows no type: names of properties, and a value's
// description. Only expressions without side effects are looked at, which V8 makes sure of.
import type { MainThread } from "./main-thread.ts";

/** `a.b[0].` before the cursor: the expression whose properties are meant. */
const beforeDot =
  /((?:[\p{L}_$][\p{L}\p{N}_$]*)(?:\.[\p{L}_$][\p{L}\p{N}_$]*|\[\d+\]|\["[^"]*"\])*)\??\.[\p{L}\p{N}_$]*$/u;
const name = /[\p{L}_$][\p{L}\p{N}_$]*(?:\.[\p{L}_$][\p{L}\p{N}_$]*)*$/u;
const longestChain = 20;

/** Properties of what stands before the last dot of `code`, inherited ones after own ones. */
export async function propertiesBefore(main: MainThread, code: string): Promise<string[]> {
  const expression = beforeDot.exec(code)?.[1];
  if (expression === undefined) return [];
  let object = await main.evaluate(`Object(${expression})`);
  const names = new Set<string>();
  for (let i = 0; object?.objectId !== undefined && i < longestChain; i++) {
    const { result, internalProperties } = await main.propertiesOf(object.objectId);
    if (i > 0 && result.some((one) => one.name === "hasOwnProperty")) break; // Object's own are nobody's wish
    for (const property of result) {
      if (property.symbol === undefined && /^[\p{L}_$]/u.test(property.name)) names.add(property.name);
    }
    object = internalProperties?.find((one) => one.name === "[[Prototype]]")?.value;
  }
  await main.release();
  names.delete("constructor");
  return [...names];
}

/** What the name at the cursor is now: `number 5`, `class Config`; undefined for what is not a plain name. */
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
