// From a data set's name and split to local files of rows, downloaded into the Hugging Face cache.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, sep } from "node:path";
import { UserError } from "../util/index.ts";
import { repoCommit, repoFiles } from "./api.ts";
import { cachedRepos, cachedSnapshot, type Repo } from "./cache.ts";
import { filesOfSplit, type DatasetFormat } from "./dataset-files.ts";
import { checkName, checkRevision, clientOf, downloadCommit, type HubOptions } from "./download.ts";
import { hubEnvironment } from "./environment.ts";
import { HubUnreachableError } from "./network.ts";

export interface DatasetOptions extends HubOptions {
  /** Name of a subset, where the data set has several. */
  readonly config?: string | undefined;
  readonly onStatus?: ((message: string) => void) | undefined;
}

export interface ResolvedDataset {
  /** Absolute paths, in the order of the shards. */
  readonly files: readonly string[];
  readonly format: DatasetFormat;
  readonly commit: string | undefined;
}

/**
 * @param reference `org/name`, `hf://org/name`, `hf://datasets/org/name`, each with `@revision` or without
 * @param split for example `train`; `validation` also finds `val`, `valid` and `dev`
 * @throws UserError
 */
export async function resolveDataset(
  reference: string,
  split: string,
  options: DatasetOptions = {},
): Promise<ResolvedDataset> {
  const bare = reference.replace(/^hf:\/\//, "").replace(/^datasets\//, "");
  const [name = "", given, ...more] = bare.split("@");
  if (more.length > 0 || given === "") {
    throw new UserError(`Expected a data set as org/name or org/name@revision, found ${reference}`, {
      exitCode: 2,
    });
  }
  const repo: Repo = { type: "dataset", name: checkName(name) };
  const revision = checkRevision(options.revision ?? given ?? "main");
  const environment = hubEnvironment();
  if (environment.offline) return fromCache(environment.cacheDir, repo, revision, split, options.config);

  const client = clientOf(environment, options.token);
  let commit: string;
  try {
    commit = await repoCommit(client, repo, revision, options.signal);
  } catch (error) {
    const cached =
      error instanceof HubUnreachableError &&
      cachedSnapshot(environment.cacheDir, repo, revision) !== undefined;
    if (!cached) throw error;
    options.onStatus?.(`${client.endpoint} cannot be reached; using ${name} as the cache has it`);
    return fromCache(environment.cacheDir, repo, revision, split, options.config);
  }
  const all = await repoFiles(client, repo, commit, options.signal);
  const pass = { ...options, repoType: "dataset" as const, outputDir: undefined, listing: all };
  let readme: string | undefined;
  if (all.some((file) => file.path === "README.md")) {
    const got = await downloadCommit(client, environment.cacheDir, repo, revision, commit, {
      ...pass,
      onProgress: undefined,
      select: (files) => files.filter((file) => file.path === "README.md"),
    });
    readme = readFileSync(join(got.folder, "README.md"), "utf8");
  }
  const paths = all.map((file) => file.path);
  const chosen = filesOfSplit(name, paths, readme, split, options.config);
  const got = await downloadCommit(client, environment.cacheDir, repo, revision, commit, {
    ...pass,
    select: (files) => files.filter((file) => chosen.paths.includes(file.path)),
  });
  return { files: chosen.paths.map((path) => join(got.folder, path)), format: chosen.format, commit };
}

function fromCache(
  cacheDir: string,
  repo: Repo,
  revision: string,
  split: string,
  config: string | undefined,
): ResolvedDataset {
  const folder = cachedSnapshot(cacheDir, repo, revision);
  if (folder === undefined) {
    const others = cachedRepos(cacheDir, "dataset");
    const list = others.length > 0 ? ` Data sets there: ${others.slice(0, 8).join(", ")}.` : "";
    throw new UserError(
      `${repo.name}: the network can't be used, and revision ${revision} of it is not in the cache ${cacheDir}.${list}`,
    );
  }
  const paths = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((path) => path.split(sep).join("/"))
    .filter((path) => existsSync(join(folder, path)));
  const readmePath = join(folder, "README.md");
  const readme = existsSync(readmePath) ? readFileSync(readmePath, "utf8") : undefined;
  const chosen = filesOfSplit(repo.name, paths, readme, split, config);
  checkShards(repo.name, split, chosen.paths);
  return {
    files: chosen.paths.map((path) => join(folder, path)),
    format: chosen.format,
    commit: folder.slice(folder.lastIndexOf(sep) + 1),
  };
}

/** The cache of a broken download may hold some of the shards: rows would be missing without a word. */
function checkShards(name: string, split: string, paths: readonly string[]): void {
  const groups = new Map<string, { found: number; expected: number }>();
  for (const path of paths) {
    const match = /^(.*)-\d{5}-of-(\d{5})/.exec(path);
    if (match === null) continue;
    const group = groups.get(match[1]!) ?? { found: 0, expected: Number(match[2]) };
    group.found++;
    groups.set(match[1]!, group);
  }
  for (const { found, expected } of groups.values()) {
    if (found < expected) {
      throw new UserError(
        `${name}: the cache holds ${found} of the ${expected} files of the split ${split}, and the network can't be used`,
      );
    }
  }
}
