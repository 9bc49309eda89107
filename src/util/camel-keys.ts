// Converts the keys of a configuration section to camelCase: `weight_decay` becomes `weightDecay`. The configuration itself
// keeps torchtitan's snake_case; code below it uses camelCase.

type CamelCase<S extends string> = S extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : S;

/** `T` with its top-level keys in camelCase. */
export type CamelKeys<T> = { [K in keyof T as K extends string ? CamelCase<K> : K]: T[K] };

/** Renames the top-level keys of a section. */
export function camelKeys<T extends object>(section: T): CamelKeys<T> {
  const renamed = Object.entries(section).map(([key, value]) => [
    key.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()),
    value as unknown,
  ]);
  return Object.fromEntries(renamed) as CamelKeys<T>;
}
