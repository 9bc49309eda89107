// Typed reading of tokenizer.json: each field is checked, and a mistake names its place in the file.
import { UserError } from "../../util/index.ts";
import { isRecord } from "../types.ts";

/** One object of tokenizer.json and where it lies in the file. */
export class Fields {
  readonly value: Readonly<Record<string, unknown>>;
  readonly path: string;

  constructor(value: unknown, path: string) {
    if (!isRecord(value)) throw wrong(path, "an object", value);
    this.value = value;
    this.path = path;
  }

  text(name: string, otherwise?: string): string {
    const value = this.value[name] ?? otherwise;
    if (typeof value !== "string") throw wrong(this.at(name), "a text", value);
    return value;
  }

  optionalText(name: string): string | undefined {
    return this.value[name] === undefined || this.value[name] === null ? undefined : this.text(name);
  }

  flag(name: string, otherwise: boolean): boolean {
    const value = this.value[name] ?? otherwise;
    if (typeof value !== "boolean") throw wrong(this.at(name), "true or false", value);
    return value;
  }

  optionalFlag(name: string): boolean | undefined {
    return this.value[name] === undefined || this.value[name] === null ? undefined : this.flag(name, false);
  }

  integer(name: string, otherwise?: number): number {
    const value = this.value[name] ?? otherwise;
    if (typeof value !== "number" || !Number.isInteger(value) || value < 0)
      throw wrong(this.at(name), "a whole number, 0 or more", value);
    return value;
  }

  choice<T extends string>(name: string, known: readonly T[], otherwise?: T): T {
    const value = this.value[name] ?? otherwise;
    const found = known.find((one) => one === value);
    if (found === undefined) throw wrong(this.at(name), `one of ${known.join(", ")}`, value);
    return found;
  }

  list(name: string): unknown[] {
    const value = this.value[name];
    if (!Array.isArray(value)) throw wrong(this.at(name), "a list", value);
    return value as unknown[];
  }

  fields(name: string): Fields {
    return new Fields(this.value[name], this.at(name));
  }

  /** The objects of a list. */
  each(name: string): Fields[] {
    return this.list(name).map((value, i) => new Fields(value, `${this.at(name)}[${i}]`));
  }

  at(name: string): string {
    return `${this.path}.${name}`;
  }
}

/** What is wrong in a tokenizer.json. Paths begin with the file's name. */
export function wrong(path: string, expected: string, found: unknown): UserError {
  const shown = found === undefined ? "nothing" : (JSON.stringify(found) ?? "nothing");
  return new UserError(
    `${path}: expected ${expected}, found ${shown.length > 100 ? `${shown.slice(0, 100)}…` : shown}`,
    { exitCode: 2 },
  );
}

/** The maker of a component by its `type`; what isn't known is refused by its name. */
export function byType<T>(fields: Fields, known: Readonly<Record<string, T>>): T {
  const type = fields.value["type"];
  if (typeof type === "string" && Object.hasOwn(known, type)) return known[type]!;
  const error = wrong(fields.at("type"), `one of ${Object.keys(known).join(", ")}`, type);
  throw new UserError(
    `${error.message}. Rows that are tokenized already (input_ids) can be trained without it`,
    { exitCode: 2 },
  );
}
