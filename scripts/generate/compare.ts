// The generated operators beside those of another libtorch: what is new there, what is gone, and what has other arguments.
import type { Group } from "./operators.ts";
import { layoutOf } from "./types.ts";

export interface Comparison {
  /** Full names, with the overload. */
  readonly added: readonly string[];
  readonly gone: readonly string[];
  readonly changed: readonly string[];
}

/** The layout of each overload that the generated text uses, by its full name. */
function generatedLayouts(text: string): Map<string, string> {
  const found = text.matchAll(/new Op\("([^"]*)", "([^"]*)", "([^"]*)"\)/g);
  return new Map([...found].map(([, name, overload, layout]) => [fullName(name!, overload!), layout!]));
}

const fullName = (name: string, overload: string): string => (overload === "" ? name : `${name}.${overload}`);

/**
 * @param groups the operators of the libtorch that is there
 * @param text generated functions
 */
export function compareOperators(groups: readonly Group[], text: string): Comparison {
  const generated = generatedLayouts(text);
  const here = new Map(
    groups
      .flatMap(({ overloads }) => overloads)
      .map((schema) => [fullName(schema.name, schema.overload), layoutOf(schema)]),
  );
  return {
    added: [...here.keys()].filter((name) => !generated.has(name)),
    gone: [...generated.keys()].filter((name) => !here.has(name)),
    changed: [...here].flatMap(([name, layout]) =>
      generated.has(name) && generated.get(name) !== layout ? [name] : [],
    ),
  };
}

/** Lines for people. */
export function comparisonLines({ added, gone, changed }: Comparison): string[] {
  const line = (names: readonly string[], what: string): string[] =>
    names.length === 0 ? [] : [`  ${names.length} ${what}: ${names.join(", ")}`];
  return [
    ...line(added, "are new, and have no function yet (torch.call takes them)"),
    ...line(gone, "are gone: their functions fail when they are used"),
    ...line(changed, "have other arguments: their functions fail when they are used"),
  ];
}
