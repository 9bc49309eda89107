// Downloads a repository, or some of its files, into the Hugging Face cache or a folder: checks the disk space, downloads several
// files at a time, resumes interrupted downloads, and verifies hashes.
import { existsSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { freeDisk, withLock } from "../setup/index.ts";
import { UserError } from "../util/index.ts";
import { fileUrl, repoCommit, repoFiles, type RepoFile } from "./api.ts";
import { cachedRepos, shardIndex, shardsOf, type Repo, type RepoType } from "./cache.ts";
import { hubEnvironment, type HubEnvironment } from "./environment.ts";
import type { HubClient } from "./network.ts";
import { defaultIgnore, matchesPattern } from "./patterns.ts";
import { cacheStore, folderStore, type Store } from "./store.ts";
import { transfer } from "./transfer.ts";

export interface DownloadProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly doneFiles: number;
  readonly totalFiles: number;
  /** The file whose progress is reported. */
  readonly file: string;
}

export interface HubOptions {
  /** Default: HF_TOKEN, or the token stored by `hf auth login`. */
  readonly token?: string | undefined;
  /** Branch, tag or commit. Default `main`. */
  readonly revision?: string | undefined;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface DownloadOptions extends HubOptions {
  readonly repoType?: RepoType | undefined;
  /** Folder for plain files. Default: the Hugging Face cache. */
  readonly outputDir?: string | undefined;
  /**
   * Shell patterns of paths to skip. Default: weights in other formats, if a model has safetensors. An empty list downloads
   * everything.
   */
  readonly ignorePatterns?: readonly string[] | undefined;
  /** Selects the files, instead of `ignorePatterns`. */
  readonly select?: ((files: readonly RepoFile[]) => readonly RepoFile[]) | undefined;
}

export interface DownloadResult {
  readonly folder: string;
  readonly commit: string;
  readonly files: readonly RepoFile[];
  /** Skipped by the patterns. */
  readonly skipped: readonly RepoFile[];
  /** Number of files downloaded by this call; the others existed. */
  readonly fetchedFiles: number;
}

/** Number of parallel downloads. */
const concurrency = 4;

/** @throws UserError for a missing or gated repository, no network, an invalid token, a full disk, or HF_HUB_OFFLINE */
export async function download(name: string, options: DownloadOptions = {}): Promise<DownloadResult> {
  const repo: Repo = { type: options.repoType ?? "model", name: checkName(name) };
  const environment = hubEnvironment();
  if (environment.offline) {
    const known = cachedRepos(environment.cacheDir, repo.type);
    const hint = known.includes(repo.name) ? " The cache has files of it." : "";
    throw new UserError(`${repo.name}: HF_HUB_OFFLINE forbids the network.${hint} Unset it to download.`);
  }
  const revision = checkRevision(options.revision ?? "main");
  const client = clientOf(environment, options.token);
  const commit = await repoCommit(client, repo, revision, options.signal);
  return await downloadCommit(client, environment.cacheDir, repo, revision, commit, options);
}

/** A mirror may have a part of a repository, and list no more: it is told before gigabytes are fetched. */
function refuseUnlisted(repo: Repo, client: HubClient, unlisted: readonly string[]): void {
  if (unlisted.length === 0) return;
  throw new UserError(
    `${repo.name}: its ${shardIndex} names ${unlisted.slice(0, 3).join(", ")}${unlisted.length > 3 ? ` and ${unlisted.length - 3} more` : ""}, which ${client.endpoint} doesn't list: it has a part of the model. Use the hub itself or another mirror (HF_ENDPOINT)`,
  );
}

/** Like `download`, for a known commit, and optionally known files (`listing`). */
export async function downloadCommit(
  client: HubClient,
  cacheDir: string,
  repo: Repo,
  revision: string,
  commit: string,
  options: DownloadOptions & { readonly listing?: readonly RepoFile[] },
): Promise<DownloadResult> {
  const all = options.listing ?? (await repoFiles(client, repo, commit, options.signal));
  const patterns = options.ignorePatterns ?? defaultIgnore(all);
  const selected =
    options.select?.(all) ??
    all.filter((file) => !patterns.some((pattern) => matchesPattern(file.path, pattern)));
  if (selected.length === 0) {
    throw new UserError(
      `${repo.name}: none of its ${all.length} files is wanted${options.ignorePatterns === undefined ? "" : " (see --ignore-patterns)"}`,
    );
  }
  const { outputDir } = options;
  const store =
    outputDir === undefined
      ? cacheStore(cacheDir, repo, revision, commit)
      : folderStore(checkFolder(outputDir), commit);

  const missing = await findMissing(store, selected);
  const counter = new ProgressCounter(selected, missing, options.onProgress);
  const failed = new AbortController();
  const signal =
    options.signal === undefined ? failed.signal : AbortSignal.any([options.signal, failed.signal]);

  const fetchFile = async (file: RepoFile): Promise<void> => {
    await withLock(store.lockOf(file), async () => {
      if (!(await store.has(file))) {
        await transfer({
          client,
          url: fileUrl(client, repo, commit, file.path),
          subject: { repo, revision, file: file.path },
          file,
          partial: store.partialOf(file),
          onBytes: (bytes) => counter.setBytes(file, bytes),
          signal,
        });
        store.moveIntoPlace(file);
      }
      counter.finishFile(file);
    });
  };
  const queue = [...missing].sort((a, b) => b.size - a.size); // large files first, so that all finish at about the same time
  const worker = async (): Promise<void> => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) await fetchFile(file);
  };
  try {
    const index = queue.find(({ path }) => path === shardIndex);
    if (index !== undefined) {
      queue.splice(queue.indexOf(index), 1);
      await fetchFile(index);
    }
    if (repo.type === "model")
      refuseUnlisted(
        repo,
        client,
        (shardsOf(store.folder) ?? []).filter(
          (name) =>
            !all.some(({ path }) => path === name) &&
            !patterns.some((pattern) => matchesPattern(name, pattern)),
        ),
      );
    await Promise.all(Array.from({ length: concurrency }, worker));
    store.finish();
  } catch (error) {
    failed.abort(error); // stops the other downloads, whose partial files are kept
    throw asUserError(store, error);
  }
  const skipped = all.filter((file) => !selected.includes(file));
  return { folder: store.folder, commit, files: selected, skipped, fetchedFiles: missing.length };
}

/** The files that must be downloaded. Also checks the disk space. */
async function findMissing(store: Store, selected: readonly RepoFile[]): Promise<RepoFile[]> {
  try {
    const present = await Promise.all(selected.map((file) => store.has(file)));
    const missing = selected.filter((_, i) => present[i] === false);
    checkSpace(store, missing);
    return missing;
  } catch (error) {
    throw asUserError(store, error);
  }
}

/** Sums the progress of parallel downloads. */
class ProgressCounter {
  readonly #bytes = new Map<string, number>();
  readonly #total: number;
  readonly #files: number;
  readonly #report: HubOptions["onProgress"];
  #doneBytes: number;
  #doneFiles: number;

  constructor(selected: readonly RepoFile[], missing: readonly RepoFile[], report: HubOptions["onProgress"]) {
    this.#total = selected.reduce((sum, file) => sum + file.size, 0);
    this.#files = selected.length;
    this.#doneBytes = this.#total - missing.reduce((sum, file) => sum + file.size, 0);
    this.#doneFiles = selected.length - missing.length;
    this.#report = report;
  }

  setBytes(file: RepoFile, bytes: number): void {
    this.#doneBytes += bytes - (this.#bytes.get(file.path) ?? 0);
    this.#bytes.set(file.path, bytes);
    this.#emit(file);
  }

  finishFile(file: RepoFile): void {
    this.#doneFiles++;
    this.setBytes(file, file.size);
  }

  #emit(file: RepoFile): void {
    this.#report?.({
      doneBytes: this.#doneBytes,
      totalBytes: this.#total,
      doneFiles: this.#doneFiles,
      totalFiles: this.#files,
      file: file.path,
    });
  }
}

function secondsFromEnv(name: string, fallback: number): number {
  const value = Number(process.env[name]);
  return Number.isFinite(value) && value > 0 ? value : fallback;
}

/** The client settings. HF_HUB_ETAG_TIMEOUT and HF_HUB_DOWNLOAD_TIMEOUT are in seconds, as in Python. */
export function clientOf(environment: HubEnvironment, token: string | undefined): HubClient {
  return {
    endpoint: environment.endpoint,
    token: token ?? environment.token,
    tokenFrom: token === undefined ? environment.tokenFrom : "--hf-token",
    answerMs: secondsFromEnv("HF_HUB_ETAG_TIMEOUT", 4) * 1000,
    stallMs: secondsFromEnv("HF_HUB_DOWNLOAD_TIMEOUT", 15) * 1000,
  };
}

/** Checks `org/name`, or a legacy name without organization. */
export function checkName(name: string): string {
  const part = /^[A-Za-z0-9_][\w.-]*$/;
  const parts = name.split("/");
  const bad = parts.length > 2 || parts.some((p) => !part.test(p) || p.includes("--") || p.includes(".."));
  if (bad) {
    throw new UserError(`Expected a repository of the hub as org/name, found ${JSON.stringify(name)}`, {
      exitCode: 2,
    });
  }
  return name;
}

/** Checks a revision, which becomes a file name in the cache. */
export function checkRevision(revision: string): string {
  if (!/^[\w][\w./-]*$/.test(revision) || revision.includes("..") || revision.endsWith("/")) {
    throw new UserError(`Expected a revision (branch, tag or commit), found ${JSON.stringify(revision)}`, {
      exitCode: 2,
    });
  }
  return revision;
}

function checkFolder(outputDir: string): string {
  const folder = resolve(outputDir);
  if (existsSync(folder) && !statSync(folder).isDirectory()) {
    throw new UserError(`--output-dir: expected a folder, found a file: ${folder}`, { exitCode: 2 });
  }
  return folder;
}

function checkSpace(store: Store, missing: readonly RepoFile[]): void {
  let needed = 0;
  for (const file of missing) {
    const partial = statSync(store.partialOf(file), { throwIfNoEntry: false })?.size ?? 0;
    needed += Math.max(0, file.size - partial);
  }
  const free = freeDisk(store.folder);
  if (needed > free) {
    throw new UserError(
      `${store.folder}: expected ${gigabytes(needed)} of free disk for the download, found ${gigabytes(free)}. ` +
        "Free some, or use another disk (--output-dir, or HF_HOME for the cache).",
    );
  }
}

/** An unwritable folder is a user's error. */
function asUserError(store: Store, error: unknown): unknown {
  const { code, path } = (error ?? {}) as NodeJS.ErrnoException;
  if (!["EACCES", "EPERM", "EROFS", "ENOTDIR", "EEXIST", "ENAMETOOLONG"].includes(code ?? "")) return error;
  return new UserError(
    `${store.folder}: expected a folder that can be written, found ${code} at ${path ?? "it"}. Use another one (--output-dir, or HF_HOME for the cache).`,
    { cause: error },
  );
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(2)} GB`;
}
