// What the parser makes of a template: expressions and statements.
import type { Value } from "./values.ts";

export interface CallArguments {
  readonly positional: readonly Expression[];
  readonly named: readonly (readonly [string, Expression])[];
  /** `*args` and `**kwargs`. */
  readonly spread?: Expression | undefined;
  readonly spreadNamed?: Expression | undefined;
}

export type BinaryOperator = "+" | "-" | "*" | "/" | "//" | "%" | "**";
export type ComparisonOperator = "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in";

export type Expression =
  | { readonly kind: "constant"; readonly value: Value }
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "list" | "tuple"; readonly items: readonly Expression[] }
  | { readonly kind: "dict"; readonly entries: readonly (readonly [Expression, Expression])[] }
  | { readonly kind: "attribute"; readonly object: Expression; readonly name: string }
  | { readonly kind: "item"; readonly object: Expression; readonly key: Expression }
  | {
      readonly kind: "slice";
      readonly object: Expression;
      readonly start?: Expression | undefined;
      readonly stop?: Expression | undefined;
      readonly step?: Expression | undefined;
    }
  | { readonly kind: "call"; readonly callee: Expression; readonly args: CallArguments }
  | {
      readonly kind: "filter";
      readonly name: string;
      readonly value: Expression;
      readonly args: CallArguments;
    }
  | { readonly kind: "test"; readonly name: string; readonly value: Expression; readonly args: CallArguments }
  | {
      readonly kind: "binary";
      readonly operator: BinaryOperator;
      readonly left: Expression;
      readonly right: Expression;
    }
  | { readonly kind: "and" | "or"; readonly left: Expression; readonly right: Expression }
  | { readonly kind: "not" | "negative" | "positive"; readonly value: Expression }
  | { readonly kind: "concat"; readonly parts: readonly Expression[] }
  | {
      readonly kind: "compare";
      readonly first: Expression;
      readonly rest: readonly (readonly [ComparisonOperator, Expression])[];
    }
  | {
      readonly kind: "if";
      readonly test: Expression;
      readonly value: Expression;
      readonly otherwise?: Expression | undefined;
    }
  /** The text of the statement around it, for `{% set x | filter %}` and `{% filter %}`. */
  | { readonly kind: "body" };

/** Where a value goes: a name, several, or an attribute of a namespace. */
export type Target =
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "targets"; readonly items: readonly Target[] }
  | { readonly kind: "namespace"; readonly name: string; readonly attribute: string };

export interface Signature {
  readonly parameters: readonly string[];
  /** Of the last parameters. */
  readonly defaults: readonly Expression[];
}

export interface MacroBody extends Signature {
  readonly name: string;
  readonly body: readonly Statement[];
  /** Which of these its body reads: only then may it be called with them. */
  readonly uses: ReadonlySet<"caller" | "varargs" | "kwargs">;
}

export type Statement =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "output"; readonly value: Expression }
  | {
      readonly kind: "if";
      readonly branches: readonly (readonly [Expression, readonly Statement[]])[];
      readonly otherwise: readonly Statement[];
    }
  | {
      readonly kind: "for";
      readonly target: Target;
      readonly iterable: Expression;
      readonly filter?: Expression | undefined;
      readonly isRecursive: boolean;
      readonly body: readonly Statement[];
      readonly otherwise: readonly Statement[];
    }
  | { readonly kind: "set"; readonly target: Target; readonly value: Expression }
  | {
      readonly kind: "set_block";
      readonly target: Target;
      readonly body: readonly Statement[];
      readonly value: Expression;
    }
  | {
      readonly kind: "with";
      readonly targets: readonly Target[];
      readonly values: readonly Expression[];
      readonly body: readonly Statement[];
    }
  | { readonly kind: "macro"; readonly macro: MacroBody }
  | {
      readonly kind: "call";
      readonly call: Extract<Expression, { kind: "call" }>;
      readonly caller: MacroBody;
    }
  | { readonly kind: "filter"; readonly value: Expression; readonly body: readonly Statement[] }
  | { readonly kind: "generation"; readonly body: readonly Statement[] }
  | { readonly kind: "break" | "continue" };

/** Whether statements have a `{% generation %}` anywhere in them. */
export function marksGeneration(body: readonly Statement[]): boolean {
  return body.some((statement) => {
    switch (statement.kind) {
      case "generation":
        return true;
      case "if":
        return [...statement.branches.map(([, branch]) => branch), statement.otherwise].some(marksGeneration);
      case "for":
        return marksGeneration(statement.body) || marksGeneration(statement.otherwise);
      case "set_block":
      case "with":
      case "filter":
        return marksGeneration(statement.body);
      case "macro":
        return marksGeneration(statement.macro.body);
      case "call":
        return marksGeneration(statement.caller.body);
      default:
        return false;
    }
  });
}
