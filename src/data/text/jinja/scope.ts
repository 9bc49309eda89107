// Names and their values, from the innermost block outwards. Loops, macros, with, call and set blocks open a scope; if does not.
import type { Value } from "./values.ts";

export class Scope {
  readonly #names = new Map<string, Value>();
  readonly #outer: Scope | undefined;

  constructor(outer?: Scope) {
    this.#outer = outer;
  }

  get(name: string): Value | undefined {
    const value = this.#names.get(name);
    return value === undefined ? this.#outer?.get(name) : value; // None is a value
  }

  set(name: string, value: Value): void {
    this.#names.set(name, value);
  }
}
