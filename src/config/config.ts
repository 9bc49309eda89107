// The configuration object: deeply typed, frozen, read with dots (config.training.seq_len).
// It never changes what it was made from; `with` makes another one.
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";

import { messageOf, UserError } from "../util/index.ts";
import { valueText } from "./text/explain.ts";
import { show } from "./schema/describe.ts";
import { defaultOf } from "./rules/dependent-defaults.ts";
import { resolveRun, type RunSpec } from "./run/run-spec.ts";
import { allKeys, parsePath, pathText, type Path } from "./schema/keys.ts";
import { applyOverrides } from "./values/overrides.ts";
import { ConfigError, type Locate, type Problem } from "./rules/problems.ts";
import type { ConfigInput, TorchforgeConfig } from "./schema/schema.ts";
import { configHtml } from "./text/show.ts";
import type { Difference } from "./text/difference.ts";
import { nearestWord } from "./rules/suggest.ts";
import { foreignKeyMessage, supportProblems } from "./rules/support.ts";
import {
  copyPlain,
  isPlainObject,
  mapTexts,
  merge,
  pick,
  replaceAt,
  valueAt,
  type PlainObject,
} from "./values/tree.ts";
import type { EnvironmentText } from "./values/interpolate.ts";
import { validate, type Validated } from "./rules/validate.ts";
import { makeReadOnly } from "./values/read-only.ts";
import { readYaml, writeYaml } from "./values/yaml.ts";

export interface ConfigOptions {
  /** Dot-list overrides, e.g. `training.steps=100`, `~training.seed`. */
  overrides?: readonly string[];
  /** For `${oc.env:VAR}`; default process.env. */
  env?: Readonly<Record<string, string | undefined>>;
  /** Accept values that are valid but not supported yet, to look at a configuration that is not to be run here. */
  allowUnsupported?: boolean;
}

/** A configuration on its way to another process: what was given, and the variables that it reads. */
export interface ConfigTransfer {
  readonly given: PlainObject;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * A complete, checked and frozen configuration. Sections and keys are those of docs/configuration.md.
 *
 * @example
 * ```ts
 * import { Config } from "torchforge";
 *
 * const config = Config.create({ model: { hf_assets_path: "./model" }, training: { steps: 100 } });
 * const longer = config.with(["training.steps=500"]); // `config` stays as it is
 * console.log(longer.training.steps, config.diff(longer)[0]?.key); // 500 training.steps
 * console.log(longer.toYaml({ onlyChanges: true }));
 * ```
 */
export class Config implements TorchforgeConfig {
  /** Where a run keeps its files, and what it is called. */
  readonly job: TorchforgeConfig["job"];
  /** Which model is trained. */
  readonly model: TorchforgeConfig["model"];
  /** The worker processes of a run on this machine. */
  readonly processes: TorchforgeConfig["processes"];
  /** The optimizer. */
  readonly optimizer: TorchforgeConfig["optimizer"];
  /** How the learning rate changes over the run. */
  readonly lr_scheduler: TorchforgeConfig["lr_scheduler"];
  /** Batch, length, steps, precision and data of the training. */
  readonly training: TorchforgeConfig["training"];
  /** Training a small adapter of the model instead of the model itself. */
  readonly adapter: TorchforgeConfig["adapter"];
  /** Keeping the frozen weights of the model in fewer bits. */
  readonly quantize: TorchforgeConfig["quantize"];
  /** How the work is divided among the processes. */
  readonly parallelism: TorchforgeConfig["parallelism"];
  /** Loading, saving and resuming. */
  readonly checkpoint: TorchforgeConfig["checkpoint"];
  /** Recomputing activations in the backward pass. */
  readonly activation_checkpoint: TorchforgeConfig["activation_checkpoint"];
  /** Communication between the processes. */
  readonly comm: TorchforgeConfig["comm"];
  /** Evaluation on held-out data. */
  readonly eval: TorchforgeConfig["eval"];
  /** Where the metrics of the run go. */
  readonly metric_logging: TorchforgeConfig["metric_logging"];

  /** What was given, after overrides and before interpolation. */
  readonly #given: PlainObject;
  readonly #options: ConfigOptions;
  readonly #warnings: readonly string[];
  readonly #fromEnvironment: readonly EnvironmentText[];
  #spec: RunSpec | undefined;

  private constructor(
    value: TorchforgeConfig,
    given: PlainObject,
    options: ConfigOptions,
    { warnings, fromEnvironment }: Pick<Validated, "warnings" | "fromEnvironment">,
    spec: RunSpec | undefined,
  ) {
    this.job = value.job;
    this.model = value.model;
    this.processes = value.processes;
    this.optimizer = value.optimizer;
    this.lr_scheduler = value.lr_scheduler;
    this.training = value.training;
    this.adapter = value.adapter;
    this.quantize = value.quantize;
    this.parallelism = value.parallelism;
    this.checkpoint = value.checkpoint;
    this.activation_checkpoint = value.activation_checkpoint;
    this.comm = value.comm;
    this.eval = value.eval;
    this.metric_logging = value.metric_logging;
    this.#given = given;
    this.#options = options;
    this.#warnings = warnings.map(({ message }) => message);
    this.#fromEnvironment = fromEnvironment;
    this.#spec = spec;
    makeReadOnly(this);
  }

  /**
   * A configuration from sections; everything left out has its default. `sections` is copied, never changed.
   * @throws ConfigError (exit code 2) with every problem at once.
   */
  static create(sections: ConfigInput, options: ConfigOptions = {}): Config {
    return Config.#make(sections, options, () => undefined);
  }

  /**
   * A configuration from YAML: the path of a file, or the text itself (recognized by its line break).
   * @throws ConfigError (exit code 2) with every problem and its line; UserError where the file can't be read.
   */
  static fromYaml(pathOrText: string, options: ConfigOptions | readonly string[] = {}): Config {
    const isText = pathOrText.includes("\n") || /^\s*(\{|$)/.test(pathOrText);
    let text = pathOrText;
    if (!isText) {
      try {
        text = readFileSync(pathOrText, "utf8");
      } catch (error) {
        throw new UserError(
          `can't read the configuration ${pathOrText}: ${messageOf(error)}; give the path of a YAML file, e.g. recipes/smollm2_135m.yaml`,
          { cause: error, exitCode: 2 },
        );
      }
    }
    const { value, locate } = readYaml(text, isText ? "yaml" : pathOrText);
    return Config.#make(
      value ?? {},
      Array.isArray(options) ? { overrides: options as readonly string[] } : (options as ConfigOptions),
      locate,
    );
  }

  static #make(sections: unknown, options: ConfigOptions, locate: Locate, steps?: number): Config {
    const source = sections instanceof Config ? sections.#given : sections;
    if (!isPlainObject(source)) {
      const found = Array.isArray(source) ? "a list" : source === null ? "null" : typeof source;
      throw new ConfigError([
        {
          path: [],
          message: `expected an object of sections, e.g. {model: {hf_assets_path: …}, training: {…}}, found ${found}`,
        },
      ]);
    }
    const given = copyPlain(source) as PlainObject;
    const problems: Problem[] = [];
    const touched = new Set(applyOverrides(given, options.overrides ?? [], problems).map(pathText));
    const found = validate(given, {
      env: options.env ?? process.env,
      allowUnsupported: options.allowUnsupported ?? false,
      steps,
    });
    for (const one of found.problems) problems.push(one);
    if (problems.length > 0) {
      const isTouched = (path: Path): boolean =>
        path.some((_, i) => touched.has(pathText(path.slice(0, path.length - i))));
      throw new ConfigError(problems, (path) =>
        path.length === 0 || isTouched(path) ? "override" : locate(path),
      );
    }
    const { training } = found.value;
    const value = steps === undefined ? found.value : { ...found.value, training: { ...training, steps } };
    const spec = steps === undefined ? undefined : resolveRun(value, steps);
    return new Config(value, given, { ...options, overrides: [] }, found, spec);
  }

  /** What is odd but allowed, each naming its keys. A command prints them before the run. */
  get warnings(): readonly string[] {
    return this.#warnings;
  }

  /** What is valid but not supported yet; empty unless `allowUnsupported` was given. */
  get unsupported(): readonly string[] {
    return supportProblems(this).map(({ message }) => message);
  }

  /** Another configuration with changes: sections that are merged in, or dot-list overrides. */
  with(changes: ConfigInput | readonly string[]): Config {
    if (Array.isArray(changes)) {
      return Config.#make(
        this.#given,
        { ...this.#options, overrides: changes as readonly string[] },
        () => undefined,
      );
    }
    if (!isPlainObject(changes)) {
      throw new UserError(
        `with(): expected sections, such as {training: {steps: 100}}, or a list of overrides, such as ["training.steps=100"]; found ${show(changes)}`,
        { exitCode: 2 },
      );
    }
    return Config.#make(merge(this.#given, changes), this.#options, () => undefined);
  }

  /** The same, in which the values of `keys` are given: they no longer follow other keys. */
  pinned(keys: readonly string[]): Config {
    return this.with(pick({ ...this.toObject() }, keys.map(parsePath)));
  }

  /**
   * The same for a run whose `training.epochs` come to `steps`, which the trainer counts: `spec.steps`, and what follows it.
   * @throws ConfigError where the schedule doesn't fit into so many steps
   */
  ofSteps(steps: number): Config {
    return Config.#make(this.#given, this.#options, () => undefined, steps);
  }

  /** A copy as plain data, every key resolved; `Config.create` takes it back to an equal configuration. */
  toObject(): TorchforgeConfig {
    const sections = allKeys().filter(({ path, isSection }) => isSection && path.length === 1);
    return structuredClone(
      Object.fromEntries(sections.map(({ name }) => [name, this[name as keyof TorchforgeConfig]])),
    ) as unknown as TorchforgeConfig;
  }

  /** What another process of the run makes the same configuration of, with `fromTransfer`. */
  toTransfer(): ConfigTransfer {
    const env = this.#options.env ?? process.env;
    const names = new Set(this.#fromEnvironment.flatMap(({ variables }) => variables));
    return {
      given: copyPlain(this.#given) as PlainObject,
      env: Object.fromEntries(
        [...names].flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])),
      ),
    };
  }

  /** The configuration that the controller has checked, unsupported values included where it allowed them. */
  static fromTransfer({ given, env }: ConfigTransfer): Config {
    return Config.create(given, { env: { ...process.env, ...env }, allowUnsupported: true });
  }

  /** As toObject; what JSON.stringify writes. */
  toJSON(): TorchforgeConfig {
    return this.toObject();
  }

  /** A key's text as it may be written down: what reads the environment as it was given, since it may be secret. */
  textOf(key: string): string {
    const path = pathText(parsePath(key));
    const fromEnvironment = this.#fromEnvironment.find((one) => pathText(one.path) === path);
    if (fromEnvironment !== undefined) return fromEnvironment.text;
    const value = valueAt(this, parsePath(key)) ?? "";
    return typeof value === "string" ? value : JSON.stringify(value);
  }

  /**
   * The whole configuration as YAML, interpolations of other keys resolved. What reads the environment stays as it was given,
   * since it may be secret.
   * @param options.markDefaults mark each key that differs from its default with a comment that says the default
   * @param options.onlyChanges leave out what has its default
   */
  toYaml(options: { markDefaults?: boolean; onlyChanges?: boolean } = {}): string {
    const changed = new Map(this.changes().map(({ key, before }) => [key, before]));
    const plain = this.toObject();
    const shown =
      options.onlyChanges === true ? pick({ ...plain }, [...changed.keys()].map(parsePath)) : plain;
    // A ${ that is left is plain text, and must stay so when it is read again.
    const written = mapTexts(shown, (text) => text.replaceAll("${", "\\${"));
    for (const { path, text } of this.#fromEnvironment) replaceAt(written, path, text);
    return writeYaml(written, (path) => {
      const name = pathText(path);
      if (options.markDefaults !== true || !changed.has(name)) return undefined;
      const before = changed.get(name);
      return before === undefined ? "no default" : `default: ${valueText(before)}`;
    });
  }

  /** The keys that differ from their defaults (`before`; undefined where the key has none). */
  changes(): Difference[] {
    const get = (name: string) => valueAt(this, parsePath(name));
    return leaves(this).flatMap(({ key, value }) => {
      const byDefault = defaultOf(key, get);
      return isDeepStrictEqual(byDefault, value) ? [] : [{ key, before: byDefault, after: value }];
    });
  }

  /** The keys whose values differ between this configuration (`before`) and another (`after`). */
  diff(other: Config): Difference[] {
    const after = new Map(leaves(other).map(({ key, value }) => [key, value]));
    return leaves(this).flatMap(({ key, value }) =>
      isDeepStrictEqual(value, after.get(key)) ? [] : [{ key, before: value, after: after.get(key) }],
    );
  }

  equals(other: Config): boolean {
    return this.diff(other).length === 0;
  }

  /** What the run does: every key resolved, with mesh degrees, accumulation and whatever else follows from them. */
  get spec(): RunSpec {
    return (this.#spec ??= resolveRun(this));
  }

  toString(): string {
    return this.toYaml({ markDefaults: true });
  }

  /** console.log(config) shows YAML, as the guide's step 11 prints it. */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }

  /** In a notebook a configuration is shown as YAML, what differs from the defaults standing out. */
  [Symbol.for("Jupyter.display")](): Record<string, string> {
    return { "text/html": configHtml(this), "text/plain": this.toString() };
  }
}

/** What was meant by a section or method that isn't there; undefined where nothing is near. */
function sectionMessage(name: string): string | undefined {
  const known = [...allKeys().filter(({ path }) => path.length === 1), ...ownNames].map((one) =>
    typeof one === "string" ? one : one.name,
  );
  const near = nearestWord(name, known, 0.34);
  const message = near === undefined ? foreignKeyMessage([name]) : `did you mean config.${near}?`;
  return message === undefined ? undefined : `config.${name}: there is no such section; ${message}`;
}

/** Names what was misspelled: undefined would be told far from its cause, if at all. */
const misspelled = new Proxy(Object.create(Object.prototype) as object, {
  get(target, name, receiver): unknown {
    if (typeof name === "symbol" || name in target) return Reflect.get(target, name, receiver);
    const message = sectionMessage(name);
    if (message !== undefined) throw new UserError(message, { exitCode: 2 });
    return undefined;
  },
  set(_target, name): never {
    const what = sectionMessage(String(name)) ?? `config.${String(name)}: there is no such section.`;
    throw new TypeError(`${what} A configuration doesn't change; config.with makes another one`);
  },
});
const ownNames = Object.getOwnPropertyNames(Config.prototype);
Object.setPrototypeOf(Config.prototype, misspelled);

/** Every key outside lists, with its value. */
function leaves(config: TorchforgeConfig): { key: string; value: unknown }[] {
  return allKeys()
    .filter(({ isSection, path }) => !isSection && !path.includes("[]"))
    .map(({ name, path }) => ({ key: name, value: valueAt(config, path) }));
}
