// Runs a parsed template: statements write text, expressions give values, by Jinja2's rules of scope and Python's of values.
import type { CallArguments, Expression, MacroBody, Statement, Target } from "./ast.ts";
import { attributeOf, itemOf, slice } from "./attributes.ts";
import { deeper, spend, spendText } from "./budget.ts";
import { RenderError } from "./errors.ts";
import { applyFilter, applyTest } from "./filters.ts";
import { Loop } from "./loop.ts";
import { binary, compares, negative, positive } from "./operators.ts";
import { Scope } from "./scope.ts";
import { str } from "./text.ts";
import {
  Callable,
  Dict,
  iterate,
  listOf,
  Namespace,
  orElse,
  Tuple,
  truthy,
  typeName,
  Undefined,
  type Arguments,
  type Value,
} from "./values.ts";

/** Text from `start` to `end`, in UTF-16 units. */
export interface GenerationSpan {
  readonly start: number;
  readonly end: number;
}

/** What a render writes: its text, and where the marks of generation lie. */
class Output {
  #parts: string[] = [];
  length = 0;

  write(text: string): void {
    if (text === "") return;
    spendText(text.length);
    this.#parts.push(text);
    this.length += text.length;
    // The whole must fit too.
    if ((this.#parts.length & 1023) === 0) this.#parts = [this.text];
  }

  get text(): string {
    const text = this.#parts.join("");
    spendText(text.length);
    return text;
  }
}

/** How a loop's body ended. */
type Ending = "break" | "continue" | undefined;

export class Interpreter {
  readonly #top = new Output();
  #output = this.#top;
  #isInGeneration = false;
  readonly #spans: GenerationSpan[] = [];
  #hasLostMarks = false;

  /** What the marks of generation enclose; undefined where one is in text that was written elsewhere later. */
  get spans(): readonly GenerationSpan[] | undefined {
    return this.#hasLostMarks ? undefined : this.#spans;
  }

  run(body: readonly Statement[], variables: ReadonlyMap<string, Value>): string {
    const scope = new Scope();
    for (const [name, value] of variables) scope.set(name, value);
    this.#run(body, new Scope(scope));
    return this.#top.text;
  }

  #run(body: readonly Statement[], scope: Scope): Ending {
    for (const statement of body) {
      const ending = this.#statement(statement, scope);
      if (ending !== undefined) return ending;
    }
    return undefined;
  }

  /** The text that a body writes, in a scope of its own. A break or continue in it leaves a loop around it: no text then. */
  #captured(body: readonly Statement[], scope: Scope): { text: string; ending: Ending } {
    let ending: Ending;
    const text = this.#capture(() => {
      ending = this.#run(body, new Scope(scope));
    });
    return { text, ending };
  }

  #capture(write: () => unknown): string {
    const outer = this.#output;
    const output = new Output();
    this.#output = output;
    try {
      write();
    } finally {
      this.#output = outer;
    }
    return output.text;
  }

  #statement(statement: Statement, scope: Scope): Ending {
    spend();
    switch (statement.kind) {
      case "text":
        this.#output.write(statement.text);
        return undefined;
      case "output":
        this.#output.write(str(this.#value(statement.value, scope)));
        return undefined;
      case "if": {
        const branch = statement.branches.find(([test]) => truthy(this.#value(test, scope)));
        return this.#run(branch === undefined ? statement.otherwise : branch[1], scope);
      }
      case "for":
        return this.#loop(statement, this.#value(statement.iterable, scope), scope, 0);
      case "set":
        this.#assign(statement.target, this.#value(statement.value, scope), scope);
        return undefined;
      case "set_block": {
        const { text, ending } = this.#captured(statement.body, scope);
        if (ending !== undefined) return ending;
        this.#assign(statement.target, this.#value(statement.value, scope, text), scope);
        return undefined;
      }
      case "with": {
        const inner = new Scope(scope);
        const values = statement.values.map((value) => this.#value(value, scope));
        for (const [i, target] of statement.targets.entries()) this.#assign(target, values[i]!, inner);
        return this.#run(statement.body, inner);
      }
      case "macro":
        scope.set(statement.macro.name, this.#macro(statement.macro, scope));
        return undefined;
      case "call": {
        const caller = this.#macro(statement.caller, scope);
        this.#output.write(str(this.#call(statement.call, scope, caller)));
        return undefined;
      }
      case "filter": {
        const { text, ending } = this.#captured(statement.body, scope);
        if (ending !== undefined) return ending;
        this.#output.write(str(this.#value(statement.value, scope, text)));
        return undefined;
      }
      case "generation":
        this.#generation(statement.body, scope);
        return undefined;
      case "break":
      case "continue":
        return statement.kind;
    }
  }

  /** Marks what its body writes. Text that is written elsewhere later (in a macro, a set block) has no place to mark. */
  #generation(body: readonly Statement[], scope: Scope): void {
    if (this.#isInGeneration || this.#output !== this.#top) {
      this.#hasLostMarks ||= !this.#isInGeneration;
      this.#output.write(this.#captured(body, scope).text);
      return;
    }
    this.#isInGeneration = true;
    const { text } = this.#captured(body, scope);
    this.#isInGeneration = false;
    const start = this.#top.length;
    this.#top.write(text);
    this.#spans.push({ start, end: this.#top.length });
  }

  /** A break or continue in its else belongs to the loop around it. */
  #loop(
    statement: Extract<Statement, { kind: "for" }>,
    iterable: Value,
    scope: Scope,
    depth: number,
  ): Ending {
    const { filter, target } = statement;
    const items = iterate(iterable);
    const recurse = statement.isRecursive
      ? (inner: Value, level: number): string =>
          deeper(() => this.#capture(() => this.#loop(statement, inner, scope, level)))
      : undefined;
    // What a filter leaves has no length until it is counted.
    const loop =
      filter === undefined
        ? new Loop(iterable, items, depth, recurse)
        : new Loop(null, this.#filtered(items, target, filter, scope), depth, recurse);
    let isEmpty = true;
    for (let item = loop.next(); item !== undefined; item = loop.next()) {
      spend();
      isEmpty = false;
      const inner = new Scope(scope);
      inner.set("loop", loop.value);
      this.#assign(target, item, inner);
      if (this.#run(statement.body, inner) === "break") break;
    }
    return isEmpty ? this.#run(statement.otherwise, new Scope(scope)) : undefined;
  }

  *#filtered(
    items: Iterator<Value, unknown>,
    target: Target,
    filter: Expression,
    scope: Scope,
  ): Generator<Value> {
    for (let next = items.next(); next.done !== true; next = items.next()) {
      const inner = new Scope(scope);
      this.#assign(target, next.value, inner);
      if (truthy(this.#value(filter, inner))) yield next.value;
    }
  }

  #assign(target: Target, value: Value, scope: Scope): void {
    switch (target.kind) {
      case "name":
        scope.set(target.name, value);
        return;
      case "namespace": {
        const namespace = scope.get(target.name);
        if (!(namespace instanceof Namespace))
          throw new RenderError("cannot assign attribute on non-namespace object");
        namespace.set(target.attribute, value);
        return;
      }
      case "targets": {
        if (
          value === null ||
          typeof value === "bigint" ||
          typeof value === "boolean" ||
          typeof value === "number"
        )
          throw new RenderError(`cannot unpack non-iterable ${typeName(value)} object`);
        const values = listOf(value);
        const { length } = target.items;
        if (values.length < length)
          throw new RenderError(`not enough values to unpack (expected ${length}, got ${values.length})`);
        if (values.length > length) throw new RenderError(`too many values to unpack (expected ${length})`);
        for (const [i, item] of target.items.entries()) this.#assign(item, values[i]!, scope);
      }
    }
  }

  #macro(macro: MacroBody, scope: Scope): Callable {
    const call = (args: Arguments): Value => deeper(() => this.#callMacro(macro, args, scope));
    const attributes = new Map<string, Value>([
      ["name", macro.name],
      ["arguments", new Tuple(macro.parameters)],
      ["catch_kwargs", macro.uses.has("kwargs")],
      ["catch_varargs", macro.uses.has("varargs")],
      ["caller", macro.uses.has("caller")],
    ]);
    return new Callable(macro.name, call, { type: "Macro", attributes });
  }

  #callMacro(macro: MacroBody, { positional, named }: Arguments, scope: Scope): string {
    const { name, parameters, defaults, uses } = macro;
    const inner = new Scope(scope);
    const left = new Map(named);
    for (const [i, parameter] of parameters.entries()) {
      const isNamed = left.has(parameter);
      if (isNamed && i < positional.length)
        throw new RenderError(`macro '${name}' got multiple values for argument '${parameter}'`);
      const given = isNamed ? left.get(parameter)! : positional[i];
      left.delete(parameter);
      const otherwise = defaults[i - (parameters.length - defaults.length)];
      if (given !== undefined) inner.set(parameter, given);
      else if (otherwise !== undefined) inner.set(parameter, this.#value(otherwise, inner));
      else inner.set(parameter, new Undefined(`parameter '${parameter}' was not provided`));
    }
    if (uses.has("caller")) {
      inner.set("caller", orElse(left.get("caller"), new Undefined("No caller defined")));
      left.delete("caller");
    }
    if (uses.has("kwargs")) inner.set("kwargs", new Dict(left));
    else if (left.size > 0) {
      const key = [...left.keys()][0]!;
      throw new RenderError(
        key === "caller"
          ? `macro '${name}' was invoked with two values for the special caller argument or takes none`
          : `macro '${name}' takes no keyword argument '${key}'`,
      );
    }
    if (uses.has("varargs")) inner.set("varargs", new Tuple(positional.slice(parameters.length)));
    else if (positional.length > parameters.length)
      throw new RenderError(`macro '${name}' takes not more than ${parameters.length} argument(s)`);
    return this.#capture(() => this.#run(macro.body, inner));
  }

  /** @param body the text that a `{% set %}` or `{% filter %}` block wrote. */
  #value(expression: Expression, scope: Scope, body = ""): Value {
    spend();
    const value = (inner: Expression): Value => this.#value(inner, scope, body);
    switch (expression.kind) {
      case "constant":
        return expression.value;
      case "body":
        return body;
      case "name": {
        const found = scope.get(expression.name);
        return found === undefined ? new Undefined(`'${expression.name}' is undefined`) : found;
      }
      case "list":
        return expression.items.map(value);
      case "tuple":
        return new Tuple(expression.items.map(value));
      case "dict":
        return new Dict(expression.entries.map(([key, entry]) => [value(key), value(entry)] as const));
      case "attribute":
        return attributeOf(value(expression.object), expression.name);
      case "item":
        return itemOf(value(expression.object), value(expression.key));
      case "slice": {
        const part = (inner: Expression | undefined): Value => (inner === undefined ? null : value(inner));
        return slice(
          value(expression.object),
          part(expression.start),
          part(expression.stop),
          part(expression.step),
        );
      }
      case "call":
        return this.#call(expression, scope);
      case "filter":
        return applyFilter(expression.name, value(expression.value), this.#arguments(expression.args, scope));
      case "test":
        return applyTest(expression.name, value(expression.value), this.#arguments(expression.args, scope));
      case "binary":
        return binary(expression.operator, value(expression.left), value(expression.right));
      case "and": {
        const left = value(expression.left);
        return truthy(left) ? value(expression.right) : left;
      }
      case "or": {
        const left = value(expression.left);
        return truthy(left) ? left : value(expression.right);
      }
      case "not":
        return !truthy(value(expression.value));
      case "negative":
        return negative(value(expression.value));
      case "positive":
        return positive(value(expression.value));
      case "concat": {
        const parts = expression.parts.map((part) => str(value(part)));
        spendText(parts.reduce((sum, part) => sum + part.length, 0));
        return parts.join("");
      }
      case "compare":
        return this.#compare(expression, value);
      case "if":
        if (truthy(value(expression.test))) return value(expression.value);
        return expression.otherwise === undefined
          ? new Undefined("the inline if-expression evaluated to false and no else section was defined.")
          : value(expression.otherwise);
    }
  }

  /** A chain holds where each of its links does; what follows one that doesn't isn't evaluated. */
  #compare(
    expression: Extract<Expression, { kind: "compare" }>,
    value: (inner: Expression) => Value,
  ): boolean {
    let left = value(expression.first);
    for (const [operator, operand] of expression.rest) {
      const right = value(operand);
      if (!compares(operator, left, right)) return false;
      left = right;
    }
    return true;
  }

  #call(expression: Extract<Expression, { kind: "call" }>, scope: Scope, caller?: Callable): Value {
    const callee = this.#value(expression.callee, scope);
    if (callee instanceof Undefined) callee.fail();
    const args = this.#arguments(expression.args, scope);
    if (!(callee instanceof Callable)) throw new RenderError(`'${typeName(callee)}' object is not callable`);
    return callee.call(
      caller === undefined ? args : { ...args, named: new Map([...args.named, ["caller", caller]]) },
    );
  }

  #arguments({ positional, named, spread, spreadNamed }: CallArguments, scope: Scope): Arguments {
    const values = positional.map((argument) => this.#value(argument, scope));
    if (spread !== undefined) values.push(...listOf(this.#value(spread, scope)));
    const byName = new Map(named.map(([name, argument]) => [name, this.#value(argument, scope)] as const));
    if (spreadNamed !== undefined) {
      const dict = this.#value(spreadNamed, scope);
      if (!(dict instanceof Dict))
        throw new RenderError(`argument after ** must be a mapping, not ${typeName(dict)}`);
      for (const [key, entry] of dict.entries()) byName.set(str(key), entry);
    }
    return { positional: values, named: byName };
  }
}
