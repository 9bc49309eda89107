// A configuration section as TypeScript spells it: `weight_decay` becomes `weightDecay`. The sections keep torchtitan's
// snake_case; what they are turned into below the configuration doesn't.

type CamelCase<S extends string> = S extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : S;

/** `T` with its own keys in camelCase; values stay as they are. */
export type CamelKeys<T> = { [K in keyof T as K extends string ? CamelCase<K> : K]: T[K] };

/** Renames the keys of a section; what it holds is not looked into. */
export function camelKeys<T extends object>(section: T): CamelKeys<T> {
  const renamed = Object.entries(section).map(([key, value]) => [
    key.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()),
    value as unknown,
  ]);
  return Object.fromEntries(renamed) as CamelKeys<T>;
}
