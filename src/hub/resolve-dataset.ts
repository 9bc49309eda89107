// Resolves a data set's name and split to local files, downloaded into the Hugging Face cache.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, sep } from "node:path";
import { UserError } from "../util/index.ts";
import { fileUrl, repoCommit, repoFiles } from "./api.ts";
import { cachedRepos, cachedSnapshot, type Repo } from "./cache.ts";
import { commonFolder, filesOfSplit, type DatasetFormat } from "./dataset-files.ts";
import { checkName, checkRevision, clientOf, downloadCommit, type HubOptions } from "./download.ts";
import { hubEnvironment } from "./environment.ts";
import { HubUnreachableError, MissingFileError, request, type HubClient } from "./network.ts";
import { RemoteFile } from "./remote-file.ts";

export interface DatasetOptions extends HubOptions {
  /** The name of a subset, if there are several. */
  readonly config?: string | undefined;
  readonly onStatus?: ((message: string) => void) | undefined;
}

export interface ResolvedDataset {
  /** Absolute paths, in shard order. */
  readonly files: readonly string[];
  readonly format: DatasetFormat;
  readonly commit: string | undefined;
}

/** A data set's repository, as a reference names it. */
function repoOf(reference: string, options: DatasetOptions): { repo: Repo; revision: string } {
  const bare = reference.replace(/^hf:\/\//, "").replace(/^datasets\//, "");
  const [name = "", revisionInName, ...more] = bare.split("@");
  if (more.length > 0 || revisionInName === "") {
    throw new UserError(`Expected a data set as org/name or org/name@revision, found ${reference}`, {
      exitCode: 2,
    });
  }
  return {
    repo: { type: "dataset", name: checkName(name) },
    revision: checkRevision(options.revision ?? revisionInName ?? "main"),
  };
}

/**
 * @param reference `org/name`, `hf://org/name` or `hf://datasets/org/name`, optionally with `@revision`
 * @param split such as `train`; `validation` also matches `val`, `valid` and `dev`
 * @throws UserError
 */
export async function resolveDataset(
  reference: string,
  split: string,
  options: DatasetOptions = {},
): Promise<ResolvedDataset> {
  const { repo, revision } = repoOf(reference, options);
  const { name } = repo;
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
  const downloadOptions = { ...options, repoType: "dataset" as const, outputDir: undefined, listing: all };
  let readme: string | undefined;
  if (all.some((file) => file.path === "README.md")) {
    const downloaded = await downloadCommit(client, environment.cacheDir, repo, revision, commit, {
      ...downloadOptions,
      onProgress: undefined,
      select: (files) => files.filter((file) => file.path === "README.md"),
    });
    readme = readFileSync(join(downloaded.folder, "README.md"), "utf8");
  }
  const paths = all.map((file) => file.path);
  const splitFiles = filesOfSplit(name, paths, readme, split, options.config);
  const got = await downloadCommit(client, environment.cacheDir, repo, revision, commit, {
    ...downloadOptions,
    select: (files) => files.filter((file) => splitFiles.paths.includes(file.path)),
  });
  return { files: splitFiles.paths.map((path) => join(got.folder, path)), format: splitFiles.format, commit };
}

/** The files of a split, to be read from the hub and not stored, in shard order; local ones where the network can't be used. */
export interface StreamedDataset {
  readonly files: readonly (RemoteFile | string)[];
  readonly commit: string | undefined;
}

/**
 * As `resolveDataset`, but nothing is downloaded.
 * @throws UserError
 */
export async function streamDataset(
  reference: string,
  split: string,
  options: DatasetOptions = {},
): Promise<StreamedDataset> {
  const { repo, revision } = repoOf(reference, options);
  const environment = hubEnvironment();
  if (environment.offline) return fromCache(environment.cacheDir, repo, revision, split, options.config);
  const client = clientOf(environment, options.token);
  const commit = await repoCommit(client, repo, revision, options.signal);
  const readme = await readText(client, repo, commit, "README.md");
  const folder = readme === undefined ? undefined : commonFolder(repo.name, readme, split, options.config);
  // A large data set has tens of thousands of files in its other folders.
  const all = await repoFiles(client, repo, commit, options.signal, folder);
  const files = new Map(all.map((file) => [file.path, file]));
  const { paths } = filesOfSplit(repo.name, [...files.keys()], readme, split, options.config);
  return { files: paths.map((path) => new RemoteFile(client, repo, commit, files.get(path)!)), commit };
}

/** A small file's text; undefined where there is none. */
async function readText(
  client: HubClient,
  repo: Repo,
  commit: string,
  path: string,
): Promise<string | undefined> {
  try {
    const subject = { repo, revision: commit, file: path };
    return await (await request(client, fileUrl(client, repo, commit, path), subject)).text();
  } catch (error) {
    if (error instanceof MissingFileError) return undefined;
    throw error;
  }
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

/** After an interrupted download the cache may lack shards, and rows would silently be missing. */
function checkShards(name: string, split: string, paths: readonly string[]): void {
  const groups = new Map<string, { found: number; expected: number }>();
  for (const path of paths) {
    const match = /^(.*)[-.]\d{5}-of-(\d{5})/.exec(path);
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
