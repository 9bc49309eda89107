// Names of libtorch in TypeScript.

/** The TypeScript name of one in a schema: `grad_output` is `gradOutput`; outer underscores stay. */
export function camelCase(name: string): string {
  const middle = name
    .replace(/^_+|_+$/g, "")
    .replaceAll(/_+([a-zA-Z0-9])/g, (_, c: string) => c.toUpperCase());
  return (name.startsWith("_") ? "_" : "") + middle + (name.endsWith("_") ? "_" : "");
}
