// Parses the dispatcher's schema texts: `aten::add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor`.

export interface Argument {
  /** As in the schema: `Tensor`, `int[2]?`, `ScalarType?` … without alias notes; SymInt reads as int. */
  type: string;
  name: string;
  /** The schema's text of the default; undefined: required. */
  default: string | undefined;
  keywordOnly: boolean;
  /** Written to: `Tensor(a!)`. */
  written: boolean;
}

export interface Schema {
  /** `aten::add` */
  name: string;
  overload: string;
  arguments: Argument[];
  returns: { type: string; written: boolean }[];
}

/** Splits at top-level commas. */
function split(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let quoted = false;
  let from = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (c === '"') quoted = !quoted;
    if (quoted) continue;
    if (c === "(" || c === "[") depth++;
    else if (c === ")" || c === "]") depth--;
    else if (c === "," && depth === 0) {
      parts.push(text.slice(from, i).trim());
      from = i + 1;
    }
  }
  const last = text.slice(from).trim();
  if (last) parts.push(last);
  return parts;
}

function cleanType(text: string): { type: string; written: boolean } {
  return { type: text.replaceAll(/\([^)]*\)/g, "").replaceAll("SymInt", "int"), written: text.includes("!") };
}

export function parseSchema(text: string): Schema {
  const match = /^([\w:]+)(?:\.(\w+))?\((.*)\) -> (.*)$/.exec(text);
  if (!match) throw new Error(`not a schema: ${text}`);
  const [, name, overload, args, returns] = match;
  let keywordOnly = false;
  const parsed: Argument[] = [];
  for (const part of split(args!)) {
    if (part === "*") {
      keywordOnly = true;
      continue;
    }
    const found = /^(\S+(?:\([^)]*\)\S*)?) (\w+)(?:=(.*))?$/.exec(part);
    if (!found) throw new Error(`not an argument: ${part} in ${text}`);
    parsed.push({ ...cleanType(found[1]!), name: found[2]!, default: found[3], keywordOnly });
  }
  const outer = returns!.trim();
  const list = outer.startsWith("(") && outer.endsWith(")") ? split(outer.slice(1, -1)) : [outer];
  return {
    name: name!,
    overload: overload ?? "",
    arguments: parsed,
    returns: list.map((one) => cleanType(one.replace(/ \w+$/, ""))),
  };
}
