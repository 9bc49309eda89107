// config.json, key by key: each is checked where it is read, and a mistake names the file and the key.
import { UserError } from "../../util/index.ts";

export class ConfigReader {
  readonly #json: Readonly<Record<string, unknown>>;
  readonly #where: string;
  /** Before a key, in messages: `rope_scaling.`. */
  readonly #prefix: string;

  /** @param where names the file in messages */
  constructor(json: Readonly<Record<string, unknown>>, where: string, prefix = "") {
    this.#json = json;
    this.#where = where;
    this.#prefix = prefix;
  }

  /** The same with some keys changed. */
  with(changes: Readonly<Record<string, unknown>>): ConfigReader {
    const own = Object.assign(Object.create(this.#json) as Record<string, unknown>, changes);
    return new ConfigReader(own, this.#where, this.#prefix);
  }

  /** As it stands there; undefined where the key is missing. */
  value(key: string): unknown {
    return this.#json[key];
  }

  /** @throws UserError with the message behind the file's name */
  fail(message: string): never {
    throw new UserError(`${this.#where}: ${this.#prefix}${message}`, { exitCode: 2 });
  }

  number(key: string, fallback?: number): number {
    const value = this.#json[key] ?? fallback;
    if (typeof value !== "number" || !Number.isFinite(value))
      return this.fail(`${key}: expected a number, found ${JSON.stringify(this.#json[key])}`);
    return value;
  }

  /** A whole number above 0. The bound is beyond any model: a larger number is a damaged file, and would fill the memory. */
  size(key: string, fallback?: number, most = 100_000_000): number {
    const value = this.number(key, fallback);
    if (!Number.isInteger(value) || value <= 0)
      return this.fail(`${key}: expected a whole number above 0, found ${value}`);
    return value <= most ? value : this.fail(`${key}: expected at most ${most}, found ${value}`);
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.#json[key] ?? fallback;
    if (typeof value !== "boolean")
      return this.fail(`${key}: expected true or false, found ${JSON.stringify(value)}`);
    return value;
  }

  /** Refuses a value other than the one that is computed with; a missing key has it. */
  mustBe(key: string, expected: string | number): void {
    const value = this.#json[key] ?? expected;
    if (value !== expected)
      this.fail(`${key}: expected ${JSON.stringify(expected)}, found ${JSON.stringify(value)}`);
  }

  /** Refuses a switch that nothing here honours. */
  mustNot(key: string): void {
    if (this.flag(key, false)) this.fail(`${key}: expected false, found true`);
  }

  /** Of an object inside, whose keys messages name with `prefix`. */
  inside(object: Readonly<Record<string, unknown>>, prefix: string): ConfigReader {
    return new ConfigReader(object, this.#where, prefix);
  }
}
