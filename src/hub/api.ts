// The two requests to the hub's API: the commit of a revision, and the files of a commit. The hub's library is loaded at the
// first request: who trains from the disk alone needn't wait for it.
import { UserError } from "../util/index.ts";
import type { Repo } from "./cache.ts";
import { request, type HubClient } from "./network.ts";

export interface RepoFile {
  /** Path in the repository, with slashes. */
  readonly path: string;
  readonly size: number;
  /** The name of its blob in the cache: the sha256 of a large file, git's hash of a small one. */
  readonly etag: string;
  readonly hash: { readonly kind: "sha256" | "git"; readonly digest: string };
}

/** The commit of a branch, tag or commit. @throws UserError */
export async function repoCommit(
  client: HubClient,
  repo: Repo,
  revision: string,
  signal?: AbortSignal,
): Promise<string> {
  const common = {
    name: repo.name,
    revision,
    hubUrl: client.endpoint,
    fetch: asFetch(client, repo, revision, signal),
  };
  const { datasetInfo, modelInfo } = await import("@huggingface/hub");
  const info =
    repo.type === "model"
      ? await modelInfo({ ...common, additionalFields: ["sha"] })
      : await datasetInfo({ ...common, additionalFields: ["sha"] });
  if (!/^[0-9a-f]{40}$/.test(info.sha)) {
    throw new UserError(`${client.endpoint}: expected the commit of ${repo.name}, found ${info.sha}`);
  }
  return info.sha;
}

/** All files of a commit, or those below one of its folders. @throws UserError */
export async function repoFiles(
  client: HubClient,
  repo: Repo,
  commit: string,
  signal?: AbortSignal,
  folder?: string,
): Promise<RepoFile[]> {
  const { listFiles } = await import("@huggingface/hub");
  const files: RepoFile[] = [];
  for await (const entry of listFiles({
    repo,
    recursive: true,
    ...(folder === undefined ? {} : { path: folder }),
    revision: commit,
    hubUrl: client.endpoint,
    fetch: asFetch(client, repo, commit, signal),
  })) {
    if (entry.type !== "file") continue;
    checkPath(repo, entry.path);
    const sha256 = entry.lfs?.oid;
    const digest = sha256 ?? entry.oid;
    if (digest === undefined || !/^[0-9a-f]+$/.test(digest)) {
      throw new UserError(
        `${client.endpoint}: expected a hash of ${entry.path} in ${repo.name}, found none, so nobody could tell whether it arrives whole. ` +
          "Use the hub itself or a mirror that gives hashes (HF_ENDPOINT), or give a folder that you have downloaded otherwise",
      );
    }
    const kind = sha256 === undefined ? "git" : "sha256";
    files.push({
      path: entry.path,
      size: entry.lfs?.size ?? entry.size,
      etag: digest,
      hash: { kind, digest },
    });
  }
  return files;
}

/** The download URL of a file. */
export function fileUrl(client: HubClient, repo: Repo, commit: string, path: string): string {
  const kind = repo.type === "dataset" ? "datasets/" : "";
  const encoded = path.split("/").map(encodeURIComponent).join("/");
  return `${client.endpoint}/${kind}${repo.name}/resolve/${commit}/${encoded}`;
}

/** A fetch for the library that uses our time limits, token and errors. */
function asFetch(
  client: HubClient,
  repo: Repo,
  revision: string,
  signal: AbortSignal | undefined,
): typeof fetch {
  return async (input, init) => {
    const url = atEndpoint(client, input instanceof Request ? input.url : String(input));
    const headers = Object.fromEntries(new Headers(init?.headers).entries());
    return await request(client, url, { repo, revision }, headers, signal);
  };
}

/**
 * The same request at the hub that was asked first. A listing names its next page by a whole address: a mirror may repeat that
 * of the hub it copies, which need not be reachable, and nobody else has a say in it.
 */
function atEndpoint({ endpoint }: HubClient, url: string): string {
  const { origin, pathname } = new URL(endpoint);
  const asked = new URL(url);
  if (asked.origin === origin) return url;
  const prefix = pathname === "/" || asked.pathname.startsWith(`${pathname}/`) ? "" : pathname;
  return `${origin}${prefix}${asked.pathname}${asked.search}`;
}

/** Paths come from the repository and are joined to a local folder, which they must not leave. */
function checkPath(repo: Repo, path: string): void {
  const parts = path.split(/[/\\]/);
  const bad = parts.some((part) => part === "" || part === "." || part === "..") || path.includes("\0");
  if (bad || /^[A-Za-z]:/.test(path)) {
    throw new UserError(`${repo.name}: holds a file with the path ${JSON.stringify(path)}; refused`);
  }
}
