// Arguments of a call to parameters, with Python's errors.
import { RenderError } from "./errors.ts";
import type { Arguments, Value } from "./values.ts";

/**
 * The values of `parameters`, `undefined` where none was given.
 * @param required how many of them must be given.
 */
export function bind(
  name: string,
  { positional, named }: Arguments,
  parameters: readonly string[],
  required = 0,
): (Value | undefined)[] {
  if (positional.length > parameters.length)
    throw new RenderError(
      `${name}() takes at most ${parameters.length} argument${parameters.length === 1 ? "" : "s"} (${positional.length} given)`,
    );
  const values: (Value | undefined)[] = parameters.map((_, i) => positional[i]);
  for (const [key, value] of named) {
    const i = parameters.indexOf(key);
    if (i === -1) throw new RenderError(`${name}() got an unexpected keyword argument '${key}'`);
    if (i < positional.length) throw new RenderError(`${name}() got multiple values for argument '${key}'`);
    values[i] = value;
  }
  const missing = parameters.slice(0, required).find((_, i) => values[i] === undefined);
  if (missing !== undefined) throw new RenderError(`${name}() missing required argument: '${missing}'`);
  return values;
}

/** Positional arguments alone, between `least` and `most` of them. */
export function positional(name: string, args: Arguments, least: number, most = least): readonly Value[] {
  const given = args.positional.length;
  if (args.named.size > 0) throw new RenderError(`${name}() takes no keyword arguments`);
  if (given < least || given > most)
    throw new RenderError(
      `${name}() takes ${least === most ? `exactly ${least}` : `${least} to ${most}`} arguments (${given} given)`,
    );
  return args.positional;
}
