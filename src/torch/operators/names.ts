// Converts libtorch's names to TypeScript's.

/** `grad_output` becomes `gradOutput`; leading and trailing underscores stay. */
export function camelCase(name: string): string {
  const middle = name
    .replace(/^_+|_+$/g, "")
    .replaceAll(/_+([a-zA-Z0-9])/g, (_, c: string) => c.toUpperCase());
  return (name.startsWith("_") ? "_" : "") + middle + (name.endsWith("_") ? "_" : "");
}
