// Resolves a model's name in a configuration (`hf://org/name`, `hf://org/name@revision` or a folder) to a local folder that can be
// loaded. Falls back to the cache if the hub can't be reached.
import { existsSync, readdirSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { otherModelFormat, UserError } from "../util/index.ts";
import { repoCommit } from "./api.ts";
import { cachedRepos, cachedSnapshot, commitPattern, missingModelFiles, type Repo } from "./cache.ts";
import { checkName, checkRevision, clientOf, downloadCommit, type HubOptions } from "./download.ts";
import { hubEnvironment } from "./environment.ts";
import { HubUnreachableError } from "./network.ts";
import { modelFiles } from "./patterns.ts";

export interface ResolveOptions extends HubOptions {
  /** The configuration key that names the model, for messages. Default `model.hf_assets_path`. */
  readonly key?: string;
  /** Called with a sentence about anything unusual, such as falling back to the cache. */
  readonly onStatus?: (message: string) => void;
}

export interface HubReference {
  readonly name: string;
  readonly revision: string | undefined;
}

const scheme = "hf://";

/** Parses `hf://org/name@revision`; undefined for anything that doesn't start with `hf://`. @throws UserError */
export function parseModelReference(reference: string): HubReference | undefined {
  if (!reference.startsWith(scheme)) return undefined;
  const rest = reference.slice(scheme.length).replace(/^models\//, "");
  const [name = "", revision, ...more] = rest.split("@");
  if (more.length > 0 || revision === "") {
    throw new UserError(`Expected hf://org/name or hf://org/name@revision, found ${reference}`, {
      exitCode: 2,
    });
  }
  checkName(name);
  return { name, revision: revision === undefined ? undefined : checkRevision(revision) };
}

/**
 * The local folder of a model. Downloads missing files.
 * @throws UserError that names `key` and says what to do
 */
export async function resolveModel(reference: string, options: ResolveOptions = {}): Promise<string> {
  const key = options.key ?? "model.hf_assets_path";
  const hub = parseModelReference(reference);
  return hub === undefined ? localModel(reference, key) : await hubModel(hub, key, options);
}

/**
 * A fast check of a model's name before anything is loaded: a folder must be a model folder; a hub name must be well formed, and
 * cached if the network is forbidden.
 * @throws UserError like `resolveModel`
 */
export async function checkModel(reference: string, options: ResolveOptions = {}): Promise<void> {
  if (parseModelReference(reference) === undefined || hubEnvironment().offline)
    await resolveModel(reference, options);
}

function localModel(path: string, key: string): string {
  const folder = resolve(path);
  if (!existsSync(folder)) {
    const likeHub = /^[\w-][\w.-]*\/[\w][\w.-]*$/.test(path);
    const hint = likeHub ? ` For a model of the hub write hf://${path}.` : "";
    throw new UserError(`${key}: expected a model folder, found nothing at ${folder}.${hint}`, {
      exitCode: 2,
    });
  }
  if (!statSync(folder).isDirectory()) {
    const hint = folder.endsWith(".gguf")
      ? ` Convert it first: forge import ${path} --output-dir DIR`
      : " Give the folder that holds config.json.";
    throw new UserError(`${key}: expected a model folder, found a file: ${folder}.${hint}`, { exitCode: 2 });
  }
  if (!existsSync(resolve(folder, "config.json"))) {
    const found = readdirSync(folder).slice(0, 5).join(", ") || "nothing";
    const advice = otherModelFormat(folder);
    throw new UserError(
      `${key}: expected config.json in ${folder}, found ${found}${advice === "" ? "" : `.${advice}`}`,
      { exitCode: 2 },
    );
  }
  return folder;
}

async function hubModel(hub: HubReference, key: string, options: ResolveOptions): Promise<string> {
  const repo: Repo = { type: "model", name: hub.name };
  const revision = checkRevision(options.revision ?? hub.revision ?? "main");
  const environment = hubEnvironment();
  const { cacheDir } = environment;
  const completeSnapshot = (at: string): string | undefined => {
    const folder = cachedSnapshot(cacheDir, repo, at);
    return folder !== undefined && missingModelFiles(folder).length === 0 ? folder : undefined;
  };
  if (environment.offline) return completeSnapshot(revision) ?? notCached(repo, revision, cacheDir, key);
  if (commitPattern.test(revision)) {
    const folder = completeSnapshot(revision); // a commit never changes, so the hub needn't be asked
    if (folder !== undefined) return folder;
  }
  const client = clientOf(environment, options.token);
  let commit: string;
  try {
    commit = await repoCommit(client, repo, revision, options.signal);
  } catch (error) {
    const folder = error instanceof HubUnreachableError ? completeSnapshot(revision) : undefined;
    if (folder === undefined) throw error;
    options.onStatus?.(`${client.endpoint} cannot be reached; using ${hub.name} as the cache has it`);
    return folder;
  }
  const folder = completeSnapshot(commit);
  if (folder !== undefined) return folder;
  const downloaded = await downloadCommit(client, cacheDir, repo, revision, commit, {
    ...options,
    repoType: "model",
    outputDir: undefined,
    select: modelFiles,
  });
  const missing = missingModelFiles(downloaded.folder);
  if (missing.length > 0) {
    throw new UserError(
      `${key}: hf://${hub.name} has no ${missing.join(", ")}; expected a model with config.json, tokenizer.json and safetensors weights`,
    );
  }
  return downloaded.folder;
}

function notCached(repo: Repo, revision: string, cacheDir: string, key: string): never {
  const folder = cachedSnapshot(cacheDir, repo, revision);
  const why =
    folder === undefined
      ? `revision ${revision} of it is not in the cache ${cacheDir}`
      : `the cache lacks ${missingModelFiles(folder).join(", ")} of it (${folder})`;
  const others = cachedRepos(cacheDir, "model");
  const list = others.length > 0 ? ` Models there: ${others.slice(0, 8).join(", ")}.` : "";
  throw new UserError(
    `${key}: hf://${repo.name} is needed, HF_HUB_OFFLINE forbids the network, and ${why}.${list} Unset HF_HUB_OFFLINE once to download it.`,
  );
}
