// Stores downloaded files: in the Hugging Face cache as blobs and links, or in a plain folder with the metadata files of
// `hf download --local-dir`. Both layouts are those of Python's huggingface_hub, so that each finds the other's files.
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { repoFolder, type Repo } from "./cache.ts";
import type { RepoFile } from "./api.ts";
import { hasHash } from "./transfer.ts";
import { makeFolder } from "../util/index.ts";

export interface Store {
  /** The folder that is returned to the user. */
  readonly folder: string;
  /** Whether the complete file is stored. */
  has(file: RepoFile): Promise<boolean>;
  partialOf(file: RepoFile): string;
  lockOf(file: RepoFile): string;
  /** Moves the completed partial file to its final path. */
  moveIntoPlace(file: RepoFile): void;
  /** To be called after the last file. */
  finish(): void;
}

export function cacheStore(cacheDir: string, repo: Repo, revision: string, commit: string): Store {
  const root = repoFolder(cacheDir, repo);
  const folder = join(root, "snapshots", commit);
  const blob = (file: RepoFile): string => join(root, "blobs", file.etag);
  const link = (file: RepoFile): void => {
    const pointer = join(folder, file.path);
    if (existsSync(pointer)) return;
    makeFolder(dirname(pointer));
    rmSync(pointer, { force: true }); // a dangling link
    try {
      symlinkSync(relative(dirname(pointer), blob(file)), pointer);
    } catch {
      if (!existsSync(pointer)) copyFileSync(blob(file), pointer); // no links on this file system
    }
  };
  return {
    folder,
    has(file) {
      if (existsSync(join(folder, file.path))) return Promise.resolve(true);
      if (!existsSync(blob(file))) return Promise.resolve(false);
      link(file); // another revision has the same file
      return Promise.resolve(true);
    },
    partialOf(file) {
      makeFolder(join(root, "blobs"));
      return `${blob(file)}.incomplete`;
    },
    lockOf: (file) => join(cacheDir, ".locks", relative(cacheDir, root), `${file.etag}.torchforge.lock`),
    moveIntoPlace(file) {
      renameSync(`${blob(file)}.incomplete`, blob(file));
      link(file);
    },
    finish() {
      makeFolder(folder);
      if (revision === commit) return;
      const ref = join(root, "refs", revision);
      makeFolder(dirname(ref));
      writeFileSync(`${ref}.${process.pid}`, commit);
      renameSync(`${ref}.${process.pid}`, ref);
    },
  };
}

export function folderStore(outputDir: string, commit: string): Store {
  const records = join(outputDir, ".cache", "huggingface");
  const record = (file: RepoFile): string => join(records, "download", `${file.path}.metadata`);
  const target = (file: RepoFile): string => join(outputDir, file.path);
  const write = (file: RepoFile): void => {
    makeFolder(dirname(record(file)));
    const ignore = join(records, ".gitignore");
    if (!existsSync(ignore)) writeFileSync(ignore, "*\n");
    writeFileSync(record(file), `${commit}\n${file.etag}\n${Date.now() / 1000}\n`);
  };
  const partialOf = (file: RepoFile): string => {
    const name = createHash("sha256").update(file.path).digest("hex").slice(0, 16);
    return join(records, "download", `${name}.${file.etag}.incomplete`);
  };
  return {
    folder: outputDir,
    async has(file) {
      if (!existsSync(target(file))) return false;
      const recorded = existsSync(record(file))
        ? readFileSync(record(file), "utf8").split("\n")[1]
        : undefined;
      // The metadata doesn't prove that the file is unchanged since its download, so check the hash.
      if (!(await hasHash(target(file), file))) return false;
      if (recorded !== file.etag) write(file);
      return true;
    },
    partialOf(file) {
      makeFolder(dirname(partialOf(file)));
      return partialOf(file);
    },
    lockOf: (file) => `${partialOf(file)}.lock`,
    moveIntoPlace(file) {
      makeFolder(dirname(target(file)));
      renameSync(partialOf(file), target(file));
      write(file);
    },
    finish() {
      makeFolder(outputDir);
    },
  };
}
