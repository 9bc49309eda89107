// The `loop` of a for statement. It looks one item ahead only when asked to, as Jinja2's does: what is lazy stays so.
import { positional } from "./arguments.ts";
import { RenderError, UnsupportedError } from "./errors.ts";
import {
  Callable,
  equal,
  lengthOrNone,
  orElse,
  Tuple,
  Undefined,
  type Arguments,
  type Value,
} from "./values.ts";

/** Renders a recursive loop's body over other items. */
export type Recurse = (iterable: Value, depth: number) => string;

export class Loop {
  readonly value: Callable;
  readonly #iterable: Value;
  readonly #depth: number;
  readonly #recurse: Recurse | undefined;
  #iterator: Iterator<Value, unknown>;
  #index = -1;
  #length: number | undefined;
  #ahead: { readonly item: Value | undefined } | undefined;
  #previous: Value | undefined;
  #current: Value | undefined;
  #changed: Value | undefined;

  /** @param iterable what is iterated, when nothing filters it: its length is then known. */
  constructor(iterable: Value, iterator: Iterator<Value, unknown>, depth: number, recurse?: Recurse) {
    this.#iterable = iterable;
    this.#iterator = iterator;
    this.#depth = depth;
    this.#recurse = recurse;
    // An object whose attributes are computed when they are read.
    const attributes = { get: (name: string) => this.#attribute(name) } as unknown as ReadonlyMap<
      string,
      Value
    >;
    this.value = new Callable("loop", (args) => this.#call(args), { type: "LoopContext", attributes });
  }

  /** The next item, or undefined at the end. */
  next(): Value | undefined {
    const item = this.#ahead === undefined ? this.#take() : this.#ahead.item;
    this.#ahead = undefined;
    if (item === undefined) return undefined;
    this.#index++;
    this.#previous = this.#current;
    this.#current = item;
    return item;
  }

  #take(): Value | undefined {
    const next = this.#iterator.next();
    return next.done === true ? undefined : next.value;
  }

  #peek(): Value | undefined {
    this.#ahead ??= { item: this.#take() };
    return this.#ahead.item;
  }

  #total(): number {
    if (this.#length !== undefined) return this.#length;
    const known = lengthOrNone(this.#iterable);
    if (known !== undefined) return (this.#length = known);
    const rest: Value[] = [];
    for (let item = this.#take(); item !== undefined; item = this.#take()) rest.push(item);
    this.#iterator = rest[Symbol.iterator]();
    const ahead = this.#ahead?.item === undefined ? 0 : 1;
    return (this.#length = rest.length + this.#index + 1 + ahead);
  }

  #attribute(name: string): Value | undefined {
    switch (name) {
      case "index":
        return BigInt(this.#index + 1);
      case "index0":
        return BigInt(this.#index);
      case "first":
        return this.#index === 0;
      case "last":
        return this.#peek() === undefined;
      case "length":
        return BigInt(this.#total());
      case "revindex":
        return BigInt(this.#total() - this.#index);
      case "revindex0":
        return BigInt(this.#total() - this.#index - 1);
      case "depth":
        return BigInt(this.#depth + 1);
      case "depth0":
        return BigInt(this.#depth);
      case "previtem":
        return orElse(
          this.#index === 0 ? undefined : this.#previous,
          new Undefined("there is no previous item"),
        );
      case "nextitem":
        return orElse(this.#peek(), new Undefined("there is no next item"));
      case "cycle":
        return new Callable("cycle", (args) => {
          const given = args.positional;
          if (given.length === 0) throw new RenderError("no items for cycling given");
          return given[this.#index % given.length]!;
        });
      case "changed":
        return new Callable("changed", (args) => {
          const now = new Tuple(args.positional);
          const isNew = this.#changed === undefined || !equal(this.#changed, now);
          this.#changed = now;
          return isNew;
        });
      default:
        return undefined;
    }
  }

  #call(args: Arguments): Value {
    const [iterable] = positional("loop", args, 1);
    if (this.#recurse === undefined)
      throw new RenderError("The loop must have the 'recursive' marker to be called recursively.");
    if (typeof iterable === "string") throw new UnsupportedError("a recursive loop over text");
    return this.#recurse(iterable!, this.#depth + 1);
  }
}
