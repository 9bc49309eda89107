// Tokens to statements: Jinja2's grammar with the extensions that Transformers adds (break, continue, generation). What only a
// template folder could have (include, import, extends, blocks) is refused here, by name.
import type {
  BinaryOperator,
  CallArguments,
  ComparisonOperator,
  Expression,
  MacroBody,
  Signature,
  Statement,
  Target,
} from "./ast.ts";
import { TemplateSyntaxError, UnsupportedError } from "./errors.ts";
import { filters, unsupportedFilters } from "./filters.ts";
import { tokenize, type Token } from "./lexer.ts";
import { tests, unsupportedTests } from "./tests.ts";

const unsupportedTags = ["include", "import", "from", "extends", "block", "autoescape"];
const comparisons: Readonly<Record<string, ComparisonOperator>> = {
  "==": "==",
  "!=": "!=",
  "<": "<",
  "<=": "<=",
  ">": ">",
  ">=": ">=",
};
const noCallArguments: CallArguments = { positional: [], named: [] };

/**
 * The statements of a template.
 * @throws TemplateSyntaxError; UnsupportedError for a construct that isn't implemented.
 */
export function parse(template: string): Statement[] {
  return new Parser(tokenize(template)).template();
}

class Parser {
  readonly #tokens: readonly Token[];
  #at = 0;
  #loops = 0;
  /** Above 0 within if: there Jinja2 complains of an unknown filter only when it is used. */
  #branches = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  template(): Statement[] {
    const body = this.#statements([]);
    if (this.#token.type !== "eof") this.#unexpected();
    return body;
  }

  get #token(): Token {
    return this.#tokens[this.#at]!;
  }

  #look(): Token | undefined {
    return this.#tokens[this.#at + 1];
  }

  #fail(message: string): never {
    throw new TemplateSyntaxError(message, this.#token.line);
  }

  #unexpected(): never {
    const { type, value } = this.#token;
    this.#fail(
      `unexpected ${type === "operator" || type === "name" ? `'${value}'` : type.replace("_", " of ")}`,
    );
  }

  #is(value: string): boolean {
    const { type } = this.#token;
    return (type === "operator" || type === "name") && this.#token.value === value;
  }

  #skipIf(value: string): boolean {
    if (!this.#is(value)) return false;
    this.#at++;
    return true;
  }

  #expect(value: string): void {
    if (!this.#skipIf(value)) this.#fail(`expected '${value}', found ${this.#describe()}`);
  }

  #describe(): string {
    const { type, value } = this.#token;
    return type === "operator" || type === "name" ? `'${value}'` : type.replace("_", " of ");
  }

  #expectType(type: Token["type"]): string {
    const token = this.#token;
    if (token.type !== type) this.#fail(`expected ${type.replace("_", " of ")}, found ${this.#describe()}`);
    this.#at++;
    return token.value;
  }

  /** Statements up to a tag with one of these names, whose name is then the current token; to the end where there are none. */
  #statements(ends: readonly string[]): Statement[] {
    const body: Statement[] = [];
    for (;;) {
      const { type, value } = this.#token;
      if (type === "data") {
        body.push({ kind: "text", text: value });
        this.#at++;
      } else if (type === "variable_begin") {
        this.#at++;
        body.push({ kind: "output", value: this.#tuple() });
        this.#expectType("variable_end");
      } else if (type === "block_begin") {
        this.#at++;
        if (ends.some((end) => this.#is(end))) return body;
        body.push(...this.#statement());
        this.#expectType("block_end");
      } else if (type === "eof" && ends.length === 0) return body;
      else this.#fail(`expected {% ${ends.join(" %} or {% ")} %}, found ${this.#describe()}`);
    }
  }

  /** The body of a statement, from the end of its tag on. */
  #body(...ends: string[]): Statement[] {
    this.#skipIf(":");
    this.#expectType("block_end");
    return this.#statements(ends);
  }

  /** A body whose end tag is passed by. */
  #wholeBody(end: string): Statement[] {
    const body = this.#body(end);
    this.#at++;
    return body;
  }

  #statement(): Statement[] {
    const tag = this.#expectType("name");
    switch (tag) {
      case "if":
        return [this.#ifStatement()];
      case "for":
        return [this.#forStatement()];
      case "set":
        return [this.#setStatement()];
      case "with":
        return [this.#withStatement()];
      case "macro":
        return [this.#macroStatement()];
      case "call":
        return [this.#callStatement()];
      case "filter":
        return [
          { kind: "filter", value: this.#filter({ kind: "body" }), body: this.#wholeBody("endfilter") },
        ];
      case "generation":
        return [{ kind: "generation", body: this.#ownBody("endgeneration") }];
      case "print":
        return this.#printStatement();
      case "break":
      case "continue":
        if (this.#loops === 0) this.#fail(`'${tag}' outside of a loop`);
        return [{ kind: tag }];
      default:
        if (unsupportedTags.includes(tag)) throw new UnsupportedError(`the tag {% ${tag} %}`);
        this.#fail(`Encountered unknown tag '${tag}'.`);
    }
  }

  #branch<T>(parse: () => T): T {
    this.#branches++;
    const parsed = parse();
    this.#branches--;
    return parsed;
  }

  #ifStatement(): Statement {
    const branches: (readonly [Expression, Statement[]])[] = [];
    for (;;) {
      const test = this.#tuple({ withIf: false });
      branches.push([test, this.#branch(() => this.#body("elif", "else", "endif"))]);
      if (this.#skipIf("elif")) continue;
      const otherwise = this.#skipIf("else") ? this.#branch(() => this.#body("endif")) : [];
      this.#expect("endif");
      return { kind: "if", branches, otherwise };
    }
  }

  #forStatement(): Statement {
    const target = this.#target({ end: "in" });
    this.#expect("in");
    const iterable = this.#tuple({ withIf: false, end: "recursive" });
    const filter = this.#skipIf("if") ? this.#expression() : undefined;
    const isRecursive = this.#skipIf("recursive");
    this.#loops++;
    const body = this.#body("endfor", "else");
    this.#loops--;
    const otherwise = this.#skipIf("else") ? this.#body("endfor") : [];
    this.#expect("endfor");
    return { kind: "for", target, iterable, filter, isRecursive, body, otherwise };
  }

  #setStatement(): Statement {
    const target = this.#target({ withNamespace: true });
    if (this.#skipIf("=")) return { kind: "set", target, value: this.#tuple() };
    const value = this.#is("|") ? this.#filters({ kind: "body" }) : ({ kind: "body" } as const);
    return { kind: "set_block", target, value, body: this.#wholeBody("endset") };
  }

  #withStatement(): Statement {
    const targets: Target[] = [];
    const values: Expression[] = [];
    while (this.#token.type !== "block_end") {
      if (targets.length > 0) this.#expect(",");
      targets.push(this.#target());
      this.#expect("=");
      values.push(this.#expression());
    }
    return { kind: "with", targets, values, body: this.#wholeBody("endwith") };
  }

  #signature(): Signature {
    const parameters: string[] = [];
    const defaults: Expression[] = [];
    this.#expect("(");
    while (!this.#is(")")) {
      if (parameters.length > 0) this.#expect(",");
      parameters.push(this.#expectType("name"));
      if (this.#skipIf("=")) defaults.push(this.#expression());
      else if (defaults.length > 0) this.#fail("non-default argument follows default argument");
    }
    this.#expect(")");
    return { parameters, defaults };
  }

  /** The body of what is a function in Python: it can't leave the loops around it. */
  #ownBody(end: string): Statement[] {
    const loops = this.#loops;
    this.#loops = 0;
    const body = this.#wholeBody(end);
    this.#loops = loops;
    return body;
  }

  /** A macro's body; loops around it are not its own. */
  #macroBody(name: string, signature: Signature, end: string): MacroBody {
    const from = this.#at;
    const body = this.#ownBody(end);
    const names = new Set(
      this.#tokens.slice(from, this.#at).flatMap(({ type, value }) => (type === "name" ? [value] : [])),
    );
    const special = ["caller", "varargs", "kwargs"] as const;
    return { name, ...signature, body, uses: new Set(special.filter((word) => names.has(word))) };
  }

  #macroStatement(): Statement {
    const name = this.#expectType("name");
    return { kind: "macro", macro: this.#macroBody(name, this.#signature(), "endmacro") };
  }

  #callStatement(): Statement {
    const signature = this.#is("(") ? this.#signature() : { parameters: [], defaults: [] };
    const call = this.#expression();
    if (call.kind !== "call") this.#fail("expected call");
    return { kind: "call", call, caller: this.#macroBody("caller", signature, "endcall") };
  }

  #printStatement(): Statement[] {
    const outputs: Statement[] = [];
    while (this.#token.type !== "block_end") {
      if (outputs.length > 0) this.#expect(",");
      outputs.push({ kind: "output", value: this.#expression() });
    }
    return outputs;
  }

  #target(options: { end?: string; withNamespace?: boolean } = {}): Target {
    const items: Target[] = [];
    let isTuple = false;
    for (;;) {
      if (items.length > 0) this.#expect(",");
      if (this.#isTupleEnd(options.end) || (isTuple && this.#is("="))) break;
      items.push(this.#oneTarget(options.withNamespace ?? false));
      if (!this.#is(",")) break;
      isTuple = true;
    }
    if (items.length === 0) this.#unexpected();
    return isTuple ? { kind: "targets", items } : items[0]!;
  }

  #oneTarget(withNamespace: boolean): Target {
    if (this.#skipIf("(")) {
      const target = this.#target({ withNamespace });
      this.#expect(")");
      return target;
    }
    const name = this.#expectType("name");
    if (["true", "false", "none", "True", "False", "None"].includes(name))
      this.#fail(`can't assign to '${name}'`);
    if (withNamespace && this.#skipIf("."))
      return { kind: "namespace", name, attribute: this.#expectType("name") };
    return { kind: "name", name };
  }

  #isTupleEnd(end?: string): boolean {
    const { type } = this.#token;
    return (
      type === "variable_end" || type === "block_end" || this.#is(")") || (end !== undefined && this.#is(end))
    );
  }

  /** An expression, or several with commas between: a tuple. */
  #tuple(options: { withIf?: boolean; end?: string; inParentheses?: boolean } = {}): Expression {
    const items: Expression[] = [];
    let isTuple = false;
    for (;;) {
      if (items.length > 0) this.#expect(",");
      if (this.#isTupleEnd(options.end)) break;
      items.push(options.withIf === false ? this.#or() : this.#expression());
      if (!this.#is(",")) break;
      isTuple = true;
    }
    if (!isTuple && items.length > 0) return items[0]!;
    if (!isTuple && options.inParentheses !== true)
      this.#fail(`Expected an expression, got ${this.#describe()}`);
    return { kind: "tuple", items };
  }

  #expression(): Expression {
    let value = this.#or();
    while (this.#skipIf("if")) {
      const test = this.#or();
      const otherwise = this.#skipIf("else") ? this.#branch(() => this.#expression()) : undefined;
      value = { kind: "if", test, value, otherwise };
    }
    return value;
  }

  #or(): Expression {
    let left = this.#and();
    while (this.#skipIf("or")) left = { kind: "or", left, right: this.#and() };
    return left;
  }

  #and(): Expression {
    let left = this.#not();
    while (this.#skipIf("and")) left = { kind: "and", left, right: this.#not() };
    return left;
  }

  #not(): Expression {
    return this.#skipIf("not") ? { kind: "not", value: this.#not() } : this.#compare();
  }

  #compare(): Expression {
    const first = this.#sum();
    const rest: (readonly [ComparisonOperator, Expression])[] = [];
    for (;;) {
      const { type, value } = this.#token;
      const operator = type === "operator" ? comparisons[value] : undefined;
      if (operator !== undefined) {
        this.#at++;
        rest.push([operator, this.#sum()]);
      } else if (this.#skipIf("in")) rest.push(["in", this.#sum()]);
      else if (this.#is("not") && this.#look()?.value === "in") {
        this.#at += 2;
        rest.push(["not in", this.#sum()]);
      } else return rest.length === 0 ? first : { kind: "compare", first, rest };
    }
  }

  #binary(operators: readonly BinaryOperator[], operand: () => Expression): Expression {
    let left = operand();
    for (;;) {
      const operator = operators.find((candidate) => this.#is(candidate));
      if (operator === undefined) return left;
      this.#at++;
      left = { kind: "binary", operator, left, right: operand() };
    }
  }

  #sum(): Expression {
    return this.#binary(["+", "-"], () => this.#concat());
  }

  #concat(): Expression {
    const parts = [this.#product()];
    while (this.#skipIf("~")) parts.push(this.#product());
    return parts.length === 1 ? parts[0]! : { kind: "concat", parts };
  }

  #product(): Expression {
    return this.#binary(["*", "/", "//", "%"], () => this.#binary(["**"], () => this.#unary()));
  }

  #unary(withFilters = true): Expression {
    let value: Expression;
    if (this.#skipIf("-")) value = { kind: "negative", value: this.#unary(false) };
    else if (this.#skipIf("+")) value = { kind: "positive", value: this.#unary(false) };
    else value = this.#primary();
    value = this.#postfix(value);
    return withFilters ? this.#filtersAndTests(value) : value;
  }

  #primary(): Expression {
    const { type, value } = this.#token;
    switch (type) {
      case "name":
        this.#at++;
        if (/^[tT]rue$|^[fF]alse$/.test(value)) return { kind: "constant", value: /^t/i.test(value) };
        if (/^[nN]one$/.test(value)) return { kind: "constant", value: null };
        return { kind: "name", name: value };
      case "string": {
        let text = "";
        while (this.#token.type === "string") text += this.#expectType("string");
        return { kind: "constant", value: text };
      }
      case "integer":
        this.#at++;
        return { kind: "constant", value: BigInt(value.replaceAll("_", "").toLowerCase()) };
      case "float":
        this.#at++;
        return { kind: "constant", value: Number(value.replaceAll("_", "")) };
      default:
    }
    if (this.#skipIf("(")) {
      const tuple = this.#tuple({ inParentheses: true });
      this.#expect(")");
      return tuple;
    }
    if (this.#skipIf("[")) return { kind: "list", items: this.#items("]", () => this.#expression()) };
    if (this.#skipIf("{")) return { kind: "dict", entries: this.#items("}", () => this.#pair()) };
    this.#unexpected();
  }

  /** Comma-separated parts up to a closing bracket, which may follow a comma. */
  #items<T>(close: string, part: () => T): T[] {
    const items: T[] = [];
    while (!this.#is(close)) {
      if (items.length > 0) this.#expect(",");
      if (this.#is(close)) break;
      items.push(part());
    }
    this.#expect(close);
    return items;
  }

  #pair(): readonly [Expression, Expression] {
    const key = this.#expression();
    this.#expect(":");
    return [key, this.#expression()];
  }

  #postfix(value: Expression): Expression {
    for (;;) {
      if (this.#skipIf(".")) value = this.#attribute(value);
      else if (this.#skipIf("[")) value = this.#subscript(value);
      else if (this.#is("(")) value = { kind: "call", callee: value, args: this.#callArguments() };
      else return value;
    }
  }

  #attribute(object: Expression): Expression {
    if (this.#token.type !== "integer") return { kind: "attribute", object, name: this.#expectType("name") };
    return { kind: "item", object, key: this.#primary() };
  }

  #subscript(object: Expression): Expression {
    const keys: Expression[] = [];
    while (!this.#is("]")) {
      if (keys.length > 0) this.#expect(",");
      const start = this.#is(":") ? undefined : this.#expression();
      if (!this.#skipIf(":")) {
        keys.push(start!);
        continue;
      }
      const part = (): Expression | undefined =>
        this.#is(":") || this.#is("]") || this.#is(",") ? undefined : this.#expression();
      const stop = part();
      const step = this.#skipIf(":") ? part() : undefined;
      if (keys.length > 0 || !this.#skipIf("]"))
        throw new UnsupportedError("a slice among several subscripts");
      return { kind: "slice", object, start, stop, step };
    }
    this.#expect("]");
    if (keys.length === 0) this.#unexpected();
    return { kind: "item", object, key: keys.length === 1 ? keys[0]! : { kind: "tuple", items: keys } };
  }

  #callArguments(): CallArguments {
    const positional: Expression[] = [];
    const named: (readonly [string, Expression])[] = [];
    let spread: Expression | undefined;
    let spreadNamed: Expression | undefined;
    this.#expect("(");
    this.#items(")", () => {
      if (this.#skipIf("**")) spreadNamed = this.#expression();
      else if (this.#skipIf("*")) spread = this.#expression();
      else if (
        this.#token.type === "name" &&
        this.#look()?.type === "operator" &&
        this.#look()!.value === "="
      ) {
        const name = this.#expectType("name");
        this.#at++;
        named.push([name, this.#expression()]);
      } else {
        if (spread ?? spreadNamed ?? named[0]) this.#fail("invalid syntax for function call expression");
        positional.push(this.#expression());
      }
    });
    return { positional, named, spread, spreadNamed };
  }

  #filtersAndTests(value: Expression): Expression {
    for (;;) {
      if (this.#skipIf("|")) value = this.#filter(value);
      else if (this.#token.type === "name" && this.#skipIf("is")) value = this.#test(value);
      else if (this.#is("(")) value = { kind: "call", callee: value, args: this.#callArguments() };
      else return value;
    }
  }

  #filters(value: Expression): Expression {
    while (this.#skipIf("|")) value = this.#filter(value);
    return value;
  }

  #dottedName(): string {
    let name = this.#expectType("name");
    while (this.#skipIf(".")) name += `.${this.#expectType("name")}`;
    return name;
  }

  /** From the name of a filter on. */
  #filter(value: Expression): Expression {
    const name = this.#dottedName();
    if (unsupportedFilters.has(name)) throw new UnsupportedError(`the filter "${name}"`);
    if (!filters.has(name) && this.#branches === 0) this.#fail(`No filter named '${name}'.`);
    const args = this.#is("(") ? this.#callArguments() : noCallArguments;
    return { kind: "filter", name, value, args };
  }

  /** From the name of a test on, or the `not` before it. */
  #test(value: Expression): Expression {
    const isNegated = this.#skipIf("not");
    const name = this.#dottedName();
    if (unsupportedTests.has(name)) throw new UnsupportedError(`the test "${name}"`);
    if (!tests.has(name) && this.#branches === 0) this.#fail(`No test named '${name}'.`);
    const test: Expression = { kind: "test", name, value, args: this.#testArguments() };
    return isNegated ? { kind: "not", value: test } : test;
  }

  #testArguments(): CallArguments {
    if (this.#is("(")) return this.#callArguments();
    const { type, value } = this.#token;
    const isOperand = ["name", "string", "integer", "float"].includes(type) || this.#is("[") || this.#is("{");
    if (!isOperand || (type === "name" && ["else", "or", "and"].includes(value))) return noCallArguments;
    if (this.#is("is")) this.#fail("You cannot chain multiple tests with is");
    return { positional: [this.#postfix(this.#primary())], named: [] };
  }
}
