// Reads the Hugging Face cache on disk: `models--org--name/{refs,blobs,snapshots/<commit>}`, where a snapshot's files are links to
// blobs. Never uses the network, and changes nothing.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

export type RepoType = "model" | "dataset";

export interface Repo {
  readonly type: RepoType;
  /** `org/name`, or a legacy name without organization. */
  readonly name: string;
}

/** The folder of a repository in a cache. */
export function repoFolder(cacheDir: string, repo: Repo): string {
  return join(cacheDir, [`${repo.type}s`, ...repo.name.split("/")].join("--"));
}

export const commitPattern = /^[0-9a-f]{40}$/;

/** The commit of a branch or tag when it was last downloaded; a commit is returned as it is. */
export function cachedCommit(cacheDir: string, repo: Repo, revision: string): string | undefined {
  if (commitPattern.test(revision)) return revision;
  const ref = join(repoFolder(cacheDir, repo), "refs", revision);
  if (!existsSync(ref) || !statSync(ref).isFile()) return undefined;
  const commit = readFileSync(ref, "utf8").trim();
  return commitPattern.test(commit) ? commit : undefined;
}

/** The folder of a revision's snapshot, if there is one. It may be incomplete. */
export function cachedSnapshot(cacheDir: string, repo: Repo, revision: string): string | undefined {
  const commit = cachedCommit(cacheDir, repo, revision);
  if (commit === undefined) return undefined;
  const folder = join(repoFolder(cacheDir, repo), "snapshots", commit);
  return existsSync(folder) ? folder : undefined;
}

/**
 * Names of the files that a model folder lacks before it can be loaded; empty if it is complete. A dangling link counts as
 * missing.
 */
export function missingModelFiles(folder: string): string[] {
  const missing = ["config.json", "tokenizer.json"].filter((name) => !existsSync(join(folder, name)));
  if (existsSync(join(folder, "model.safetensors"))) return missing;
  if (!existsSync(join(folder, shardIndex))) return [...missing, "model.safetensors"];
  const shards = shardsOf(folder);
  if (shards === undefined) return [...missing, shardIndex]; // cut off: as good as not there
  return [...missing, ...shards.filter((shard) => !existsSync(join(folder, shard)))];
}

/** Names the files of weights that are in several. */
export const shardIndex = "model.safetensors.index.json";

/** The files that a folder's index names; undefined where it is none. */
export function shardsOf(folder: string): string[] | undefined {
  let map: unknown;
  try {
    map = (JSON.parse(readFileSync(join(folder, shardIndex), "utf8")) as { weight_map?: unknown } | null)
      ?.weight_map;
  } catch {
    return undefined;
  }
  const names: unknown[] = typeof map === "object" && map !== null ? Object.values(map) : [];
  return [...new Set(names.filter((name) => typeof name === "string"))];
}

/** Names of the cached repositories of a type. */
export function cachedRepos(cacheDir: string, type: RepoType): string[] {
  if (!existsSync(cacheDir)) return [];
  const prefix = `${type}s--`;
  return readdirSync(cacheDir)
    .filter((name) => name.startsWith(prefix))
    .map((name) => name.slice(prefix.length).split("--").join("/"));
}
