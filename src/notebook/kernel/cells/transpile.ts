// Transpiles a cell to the body of an async function. Top-level names are assigned instead of declared (the evaluator declares
// them once, so that a cell can be executed repeatedly), static imports become `import()`, and every await goes through the kernel, so that
// an interrupt reaches it. Types are only stripped, not checked.
import type { ts } from "@ts-morph/common";

import { loadTypeScript, type TypeScript } from "../../../util/index.ts";

/** The name of the kernel's functions in a cell's code; see CellApi in evaluator.ts. */
export const cellApiName = "__kernel";

export interface Transpiled {
  readonly js: string;
  /** Source map, JSON. */
  readonly map: string;
  /** Top-level names that the cell assigns. */
  readonly names: readonly string[];
}

/** A syntax error found by TypeScript's parser. Lines and columns count from 1. */
export class CellSyntaxError extends Error {
  override name = "SyntaxError";
  readonly line: number;
  readonly column: number;

  constructor(message: string, line: number, column: number) {
    super(message);
    this.line = line;
    this.column = column;
  }
}

/** @throws CellSyntaxError */
export function transpile(code: string, url: string): Transpiled {
  const ts = loadTypeScript();
  const names = new Set<string>();
  const output = ts.transpileModule(code, {
    fileName: url,
    reportDiagnostics: true,
    compilerOptions: {
      target: ts.ScriptTarget.ES2024,
      module: ts.ModuleKind.ESNext,
      moduleDetection: ts.ModuleDetectionKind.Force,
      verbatimModuleSyntax: true,
      experimentalDecorators: false,
      sourceMap: true,
    },
    transformers: {
      before: [(context) => (file) => instrument(ts, context, file)],
      after: [(context) => (file) => toFunctionBody(ts, context, file, names)],
    },
  });
  const problem = syntaxProblem(ts, output.diagnostics ?? []);
  if (problem !== undefined) throw problem;
  const js = output.outputText.replace(/(^|\n)\/\/# sourceMappingURL=.*\s*$/, "\n");
  return { js, map: output.sourceMapText ?? "", names: [...names] };
}

export type Completeness =
  | { readonly status: "complete" | "invalid" | "unknown" }
  | { readonly status: "incomplete"; readonly indent: string };

/** Whether a console should run this or ask for another line: it is incomplete if its only error is at its end. */
export function completeness(code: string): Completeness {
  const ts = loadTypeScript();
  const { diagnostics = [] } = ts.transpileModule(code, {
    fileName: "cell.ts",
    reportDiagnostics: true,
    compilerOptions: {
      target: ts.ScriptTarget.ES2024,
      module: ts.ModuleKind.ESNext,
      moduleDetection: ts.ModuleDetectionKind.Force,
    },
  });
  const first = diagnostics[0];
  if (first === undefined) return { status: "complete" };
  const openComment = first.code === 1010;
  const openTemplate = first.code === 1160;
  const openString = first.code === 1002;
  const atEnd = !openString && (first.start ?? 0) >= code.trimEnd().length;
  if (!atEnd && !openComment && !openTemplate) return { status: "invalid" };
  const last = code.trimEnd().split("\n").at(-1) ?? "";
  return { status: "incomplete", indent: /^\s*/.exec(last)![0] + (/[{([]$/.test(last) ? "  " : "") };
}

function syntaxProblem(ts: TypeScript, diagnostics: readonly ts.Diagnostic[]): CellSyntaxError | undefined {
  const first = diagnostics.find(({ category }) => category === ts.DiagnosticCategory.Error);
  if (first === undefined) return undefined;
  const message = ts.flattenDiagnosticMessageText(first.messageText, "\n");
  const position = first.file?.getLineAndCharacterOfPosition(first.start ?? 0) ?? { line: 0, character: 0 };
  return new CellSyntaxError(message, position.line + 1, position.character + 1);
}

/** Rewrites awaits, `for await`, import() and import.meta, in the original source, so that positions are the cell's. */
function instrument(ts: TypeScript, context: ts.TransformationContext, file: ts.SourceFile): ts.SourceFile {
  const { factory } = context;
  const call = (name: string, args: ts.Expression[]): ts.Expression =>
    factory.createCallExpression(member(factory, name), undefined, args);
  const position = (node: ts.Node): ts.Expression => factory.createStringLiteral(positionOf(node));
  const visit = (node: ts.Node): ts.Node => {
    const nodePosition = ts.isAwaitExpression(node) || ts.isForOfStatement(node) ? position(node) : undefined;
    const visited = ts.visitEachChild(node, visit, context);
    if (ts.isAwaitExpression(visited)) {
      return factory.updateAwaitExpression(visited, call("wait", [visited.expression, nodePosition!]));
    }
    if (ts.isForOfStatement(visited) && visited.awaitModifier !== undefined) {
      return factory.updateForOfStatement(
        visited,
        visited.awaitModifier,
        visited.initializer,
        call("each", [visited.expression, nodePosition!]),
        visited.statement,
      );
    }
    if (ts.isCallExpression(visited) && visited.expression.kind === ts.SyntaxKind.ImportKeyword) {
      return call("import", [...visited.arguments]);
    }
    if (ts.isMetaProperty(visited) && visited.keywordToken === ts.SyntaxKind.ImportKeyword) {
      return member(factory, "meta");
    }
    return visited;
  };
  return ts.visitEachChild(file, visit, context);
}

/** `cell-1.ts:2:3` */
function positionOf(node: ts.Node): string {
  const file = node.getSourceFile();
  const { line, character } = file.getLineAndCharacterOfPosition(node.getStart(file));
  return `${file.fileName}:${line + 1}:${character + 1}`;
}

/** Turns a module's statements into a function's, after TypeScript's transforms. Functions come first, then imports. */
function toFunctionBody(
  ts: TypeScript,
  context: ts.TransformationContext,
  file: ts.SourceFile,
  names: Set<string>,
): ts.SourceFile {
  const { factory } = context;
  const functions: ts.Statement[] = [];
  const imports: ts.Statement[] = [];
  const others: ts.Statement[] = [];

  const assign = (target: ts.Expression, value: ts.Expression, original: ts.Node): ts.Statement =>
    ts.setTextRange(
      ts.setOriginalNode(
        factory.createExpressionStatement(factory.createAssignment(target, value)),
        undefined,
      ),
      original,
    );
  const targets = new AssignmentTargets(ts, factory, names);
  const used = valuesUsed(ts, file);

  for (const [i, statement] of file.statements.entries()) {
    const isLast = i === file.statements.length - 1 || nothingRunsFrom(ts, file.statements, i + 1);
    if (ts.isImportDeclaration(statement)) {
      imports.push(importStatement(ts, factory, statement, targets, used));
    } else if (ts.isExportDeclaration(statement)) {
      if (statement.moduleSpecifier) imports.push(reexport(ts, factory, statement, targets));
    } else if (ts.isVariableStatement(statement) && !isGenerated(ts, statement)) {
      for (const declaration of statement.declarationList.declarations) {
        const target = targets.of(declaration.name);
        others.push(assign(target, declaration.initializer ?? factory.createVoidZero(), declaration));
      }
    } else if (ts.isFunctionDeclaration(statement) && statement.body) {
      const value = factory.createFunctionExpression(
        statement.modifiers?.filter((one) => one.kind === ts.SyntaxKind.AsyncKeyword),
        statement.asteriskToken,
        undefined, // unnamed: its own name would shadow a later redefinition in its recursive calls
        undefined,
        statement.parameters,
        undefined,
        statement.body,
      );
      if (statement.name) functions.push(assign(targets.of(statement.name), value, statement));
    } else if (ts.isClassDeclaration(statement)) {
      const value = factory.createClassExpression(
        undefined,
        statement.name,
        undefined,
        statement.heritageClauses,
        statement.members,
      );
      if (statement.name) others.push(assign(targets.of(statement.name), value, statement));
    } else {
      const expression = ts.isExportAssignment(statement)
        ? statement.expression
        : ts.isExpressionStatement(statement) && ts.isExpressionStatement(ts.getOriginalNode(statement))
          ? statement.expression
          : undefined;
      if (expression !== undefined && isLast) {
        others.push(returnStatement(ts, factory, expression, statement));
      } else if (ts.isTryStatement(statement) && isLast && statement.pos < 0) {
        others.push(returnFromUsing(ts, factory, statement));
      } else if (ts.isExportAssignment(statement)) {
        others.push(ts.setTextRange(factory.createExpressionStatement(statement.expression), statement));
      } else {
        others.push(statement);
      }
    }
  }
  return factory.updateSourceFile(file, [...functions, ...imports, ...others]);
}

/** `return [value]`: in an array, so that a returned promise isn't awaited. */
function returnStatement(
  ts: TypeScript,
  factory: ts.NodeFactory,
  value: ts.Expression,
  statement: ts.Statement,
): ts.Statement {
  return ts.setTextRange(
    factory.createReturnStatement(factory.createArrayLiteralExpression([value])),
    statement,
  );
}

/** TypeScript compiles `using` to a try around the rest of the cell, whose last expression is then the cell's value. */
function returnFromUsing(ts: TypeScript, factory: ts.NodeFactory, statement: ts.TryStatement): ts.Statement {
  const { statements } = statement.tryBlock;
  const last = statements.at(-1);
  if (
    last === undefined ||
    !ts.isExpressionStatement(last) ||
    !ts.isExpressionStatement(ts.getOriginalNode(last))
  )
    return statement;
  const block = factory.updateBlock(statement.tryBlock, [
    ...statements.slice(0, -1),
    returnStatement(ts, factory, last.expression, last),
  ]);
  return factory.updateTryStatement(statement, block, statement.catchClause, statement.finallyBlock);
}

/** Names that the code uses as values, after types were removed. Imports don't count. */
function valuesUsed(ts: TypeScript, file: ts.SourceFile): ReadonlySet<string> {
  const used = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node)) used.add(node.text);
    else if (ts.isPropertyAccessExpression(node)) visit(node.expression);
    else if (ts.isPropertyAssignment(node)) visit(node.initializer);
    else ts.forEachChild(node, visit);
  };
  for (const one of file.statements)
    if (!ts.isImportDeclaration(one) && !ts.isExportDeclaration(one)) visit(one);
  return used;
}

/** Whether TypeScript generated the variable; its name is chosen only when printed. */
function isGenerated(ts: TypeScript, { declarationList }: ts.VariableStatement): boolean {
  const { isGeneratedIdentifier } = ts as unknown as { isGeneratedIdentifier: (node: ts.Node) => boolean };
  return declarationList.declarations.some(
    ({ name }) => ts.isIdentifier(name) && isGeneratedIdentifier(name),
  );
}

/** Functions are moved to the front, and TypeScript ends a module without exports with `export {}`. */
function nothingRunsFrom(ts: TypeScript, statements: readonly ts.Statement[], from: number): boolean {
  return statements
    .slice(from)
    .every((one) => ts.isFunctionDeclaration(one) || (ts.isExportDeclaration(one) && !one.moduleSpecifier));
}

function member(factory: ts.NodeFactory, name: string): ts.Expression {
  return factory.createPropertyAccessExpression(factory.createIdentifier(cellApiName), name);
}

/** `import d, { a as b } from "m"` as `({ default: d, a: b } = await import("m"))`. */
function importStatement(
  ts: TypeScript,
  factory: ts.NodeFactory,
  statement: ts.ImportDeclaration,
  targets: AssignmentTargets,
  used: ReadonlySet<string>,
): ts.Statement {
  const clause = statement.importClause;
  const bindings = clause?.namedBindings;
  const importedNames: [imported: string, local: ts.Identifier][] = [];
  if (clause?.name) importedNames.push(["default", clause.name]);
  if (bindings && ts.isNamedImports(bindings)) {
    for (const { propertyName, name } of bindings.elements)
      importedNames.push([(propertyName ?? name).text, name]);
  }
  let value = importCall(
    ts,
    factory,
    statement,
    // A capitalized name may be a type that was imported without `type`, so it need not exist at run time.
    importedNames
      .filter(([imported, local]) => !/^\p{Lu}/u.test(imported) || used.has(local.text))
      .map(([imported]) => imported),
  );
  if (bindings && ts.isNamespaceImport(bindings)) {
    value = factory.createAssignment(targets.of(bindings.name), value);
  }
  return ts.setTextRange(
    factory.createExpressionStatement(destructure(factory, importedNames, value, targets)),
    statement,
  );
}

/** `export { a as b } from "m"` acts like an import. */
function reexport(
  ts: TypeScript,
  factory: ts.NodeFactory,
  statement: ts.ExportDeclaration,
  targets: AssignmentTargets,
): ts.Statement {
  const clause = statement.exportClause;
  const picked: [string, ts.Identifier][] = [];
  if (clause && ts.isNamedExports(clause)) {
    for (const { propertyName, name } of clause.elements) {
      picked.push([(propertyName ?? name).text, factory.createIdentifier(name.text)]);
    }
  }
  const value = importCall(
    ts,
    factory,
    statement,
    // Without names that may be types, as for an import.
    picked.map(([imported]) => imported).filter((imported) => !/^\p{Lu}/u.test(imported)),
  );
  return ts.setTextRange(
    factory.createExpressionStatement(destructure(factory, picked, value, targets)),
    statement,
  );
}

function importCall(
  ts: TypeScript,
  factory: ts.NodeFactory,
  statement: ts.ImportDeclaration | ts.ExportDeclaration,
  names: readonly string[],
): ts.Expression {
  const attributes = statement.attributes?.elements.map(({ name, value }) =>
    factory.createPropertyAssignment(
      ts.isIdentifier(name) ? name.text : factory.createStringLiteral(name.text),
      value,
    ),
  );
  const options = attributes
    ? factory.createObjectLiteralExpression([
        factory.createPropertyAssignment("with", factory.createObjectLiteralExpression(attributes)),
      ])
    : factory.createVoidZero();
  const requiredNames = factory.createArrayLiteralExpression(
    names.map((name) => factory.createStringLiteral(name)),
  );
  const place = factory.createStringLiteral(positionOf(ts.getOriginalNode(statement)));
  return factory.createAwaitExpression(
    factory.createCallExpression(member(factory, "import"), undefined, [
      statement.moduleSpecifier!,
      options,
      requiredNames,
      place,
    ]),
  );
}

function destructure(
  factory: ts.NodeFactory,
  picked: readonly (readonly [imported: string, local: ts.Identifier])[],
  value: ts.Expression,
  targets: AssignmentTargets,
): ts.Expression {
  if (picked.length === 0) return value;
  const properties = picked.map(([imported, local]) =>
    factory.createPropertyAssignment(factory.createStringLiteral(imported), targets.of(local)),
  );
  return factory.createAssignment(factory.createObjectLiteralExpression(properties), value);
}

/** Converts the binding of a declaration to the left side of an assignment, and collects its names. */
class AssignmentTargets {
  readonly #ts: TypeScript;
  readonly #factory: ts.NodeFactory;
  readonly #names: Set<string>;

  constructor(ts: TypeScript, factory: ts.NodeFactory, names: Set<string>) {
    this.#ts = ts;
    this.#factory = factory;
    this.#names = names;
  }

  of(name: ts.BindingName): ts.Expression {
    const [ts, factory] = [this.#ts, this.#factory];
    if (ts.isIdentifier(name)) {
      this.#names.add(name.text);
      return name;
    }
    if (ts.isArrayBindingPattern(name)) {
      return factory.createArrayLiteralExpression(
        name.elements.map((element) => {
          if (ts.isOmittedExpression(element)) return element;
          if (element.dotDotDotToken) return factory.createSpreadElement(this.of(element.name));
          return this.#withDefault(element);
        }),
      );
    }
    return factory.createObjectLiteralExpression(
      name.elements.map((element) => {
        if (element.dotDotDotToken) return factory.createSpreadAssignment(this.of(element.name));
        if (element.propertyName === undefined && ts.isIdentifier(element.name)) {
          this.#names.add(element.name.text);
          return factory.createShorthandPropertyAssignment(element.name, element.initializer);
        }
        return factory.createPropertyAssignment(element.propertyName!, this.#withDefault(element));
      }),
    );
  }

  #withDefault(element: ts.BindingElement): ts.Expression {
    const target = this.of(element.name);
    return element.initializer ? this.#factory.createAssignment(target, element.initializer) : target;
  }
}
