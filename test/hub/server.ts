// A tiny Hugging Face hub on loopback, for tests: model and data set info, file trees (paged), `resolve` with the hub's
// headers and redirects to a second server that stands for its CDN, ranges, and faults on demand. Not a mirror.
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface FakeFile {
  readonly bytes: Buffer;
  /** Large files are served by the CDN and known by their sha256. */
  readonly lfs: boolean;
  /** What the tree says, where that isn't the truth. */
  readonly announced?: number;
}

export interface FakeRepo {
  readonly type: "model" | "dataset";
  readonly name: string;
  commit: string;
  files: Map<string, FakeFile>;
  /** Only this token may read it. */
  token?: string;
  gated?: boolean;
}

/** What the CDN does to a request of a file, instead of serving it. */
export type Fault = (request: { range: string | undefined; count: number }) =>
  | undefined
  | { readonly cutAfter: number }
  | { readonly stallAfter: number }
  | { readonly status: number }
  | { readonly ignoreRange: true }
  | { readonly noAnswer: true }
  /** More than was asked for. */
  | { readonly toTheEnd: true }
  | { readonly bytes: Buffer };

export class FakeHub implements AsyncDisposable {
  readonly repos = new Map<string, FakeRepo>();
  /** Every request to either server: method, path, range, whether a token came along. */
  readonly log: Array<{ path: string; range: string | undefined; token: string | undefined; cdn: boolean }> =
    [];
  /** By path inside the repository. */
  readonly faults = new Map<string, Fault>();
  /** Answers that the API begins with before it works: a status, with headers. */
  apiStatus: (number | { status: number; headers: Record<string, string> })[] = [];
  /** What addresses of next pages begin with, where that isn't this hub. */
  nextPagesAt: string | undefined;
  /** Where all requests are sent instead. */
  sentTo: string | undefined;
  /** Whether files of the CDN are given by an address without a host. */
  relative = false;
  /** Whether the tree leaves out hashes, as some mirrors do. */
  withoutHashes = false;
  /** Repositories that have another name now: old path → new path. */
  readonly moved = new Map<string, string>();
  readonly #hub: Server;
  readonly #cdn: Server;
  readonly #counts = new Map<string, number>();

  private constructor() {
    this.#hub = createServer((request, response) => this.#answer(request, response));
    this.#cdn = createServer((request, response) => this.#serve(request, response));
  }

  static async start(): Promise<FakeHub> {
    const hub = new FakeHub();
    for (const server of [hub.#hub, hub.#cdn]) {
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    }
    return hub;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#hub.address() as AddressInfo).port}`;
  }

  add(type: FakeRepo["type"], name: string, files: Record<string, string | Buffer>): FakeRepo {
    const repo: FakeRepo = {
      type,
      name,
      commit: createHash("sha1")
        .update(`${name}${Object.keys(files).join()}`)
        .digest("hex"),
      files: new Map(
        Object.entries(files).map(([path, content]) => [
          path,
          {
            bytes: Buffer.from(content as string),
            lfs: /\.(safetensors|parquet|bin|gguf|gz|zst)$/.test(path),
          },
        ]),
      ),
    };
    this.repos.set(`${type}s/${name}`, repo);
    return repo;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of [this.#hub, this.#cdn]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  #note(request: IncomingMessage, cdn: boolean): { path: string; range: string | undefined } {
    const entry = {
      path: decodeURIComponent(request.url ?? ""),
      range: request.headers.range,
      token: request.headers.authorization?.replace("Bearer ", ""),
      cdn,
    };
    this.log.push(entry);
    return entry;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { path } = this.#note(request, false);
    const status = path.startsWith("/api/") ? this.apiStatus.shift() : undefined;
    if (typeof status === "number") return refuse(response, status, "", "no luck");
    if (status !== undefined) {
      response.writeHead(status.status, status.headers).end();
      return;
    }
    if (this.sentTo !== undefined) {
      response.writeHead(307, { Location: `${this.sentTo}${request.url}` }).end();
      return;
    }
    if (path.startsWith("/cdn/")) return this.#serve(request, response, path.slice("/cdn".length));
    for (const [from, to] of this.moved) {
      if (!path.includes(`/${from}/`)) continue;
      response.writeHead(307, { Location: path.replace(`/${from}/`, `/${to}/`) }).end();
      return;
    }
    const api = /^\/api\/(models|datasets)\/([^/]+\/[^/]+)\/(revision|tree)\/([^?]+)(\?.*)?$/.exec(path);
    const file = /^\/(datasets\/)?([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(path);
    const key = api ? `${api[1]}/${api[2]}` : file ? `${file[1] ?? "models/"}${file[2]}` : "";
    const token = request.headers.authorization?.replace("Bearer ", "");
    if (token === "hf_wrong") {
      return refuse(response, 401, "", "Invalid credentials in Authorization header");
    }
    const repo = this.repos.get(key);
    if (repo === undefined) return refuse(response, 404, "RepoNotFound", "Repository not found");
    if (repo.token !== undefined && token !== repo.token) {
      if (repo.gated !== true) return refuse(response, 404, "RepoNotFound", "Repository not found");
      // As on the hub: what a gated repository is called can be asked, its files can't be had.
      if (file !== null) {
        return refuse(
          response,
          token === undefined ? 401 : 403,
          "GatedRepo",
          `Access to ${repo.name} is restricted`,
        );
      }
    }
    const [revision, folder] = /^([^/]+)\/?(.*)$/.exec((api?.[4] ?? file?.[3])!)!.slice(1) as [
      string,
      string,
    ];
    if (revision !== "main" && revision !== repo.commit) {
      return refuse(response, 404, "RevisionNotFound", `Invalid rev id: ${revision}`);
    }
    if (api?.[3] === "revision") return this.#info(repo, response);
    if (api?.[3] === "tree") return this.#tree(repo, [revision, folder], api[5] ?? "", response);
    this.#resolve(repo, file![4]!, response);
  }

  #info(repo: FakeRepo, response: ServerResponse): void {
    json(response, {
      _id: "1",
      id: repo.name,
      sha: repo.commit,
      private: false,
      gated: repo.gated === true ? "manual" : false,
      likes: 0,
      downloads: 0,
      lastModified: "2026-01-01T00:00:00.000Z",
    });
  }

  /** Two entries a page, so that following pages is part of every test. */
  #tree(
    repo: FakeRepo,
    [revision, folder]: readonly [string, string],
    query: string,
    response: ServerResponse,
  ): void {
    const folders = new Set(
      [...repo.files.keys()].filter((path) => path.includes("/")).map((path) => path.split("/")[0]!),
    );
    const entries = [
      ...[...folders].map((path) => ({ type: "directory", oid: "0".repeat(40), size: 0, path })),
      ...[...repo.files].map(([path, { bytes, lfs, announced }]) => ({
        type: "file",
        path,
        size: announced ?? bytes.length,
        ...(this.withoutHashes ? {} : { oid: gitHash(bytes) }),
        ...(lfs && !this.withoutHashes
          ? { lfs: { oid: sha256(bytes), size: announced ?? bytes.length, pointerSize: 130 } }
          : {}),
      })),
    ].filter(({ path }) => folder === "" || path.startsWith(`${folder}/`));
    const from = Number(new URLSearchParams(query.slice(1)).get("cursor") ?? 0);
    const headers: Record<string, string> = {};
    if (from + 2 < entries.length) {
      const next = `${this.nextPagesAt ?? this.url}/api/${repo.type}s/${repo.name}/tree/${revision}${folder && `/${folder}`}?recursive=true&cursor=${from + 2}`;
      headers["Link"] = `<${next}>; rel="next"`;
    }
    json(response, entries.slice(from, from + 2), headers);
  }

  #resolve(repo: FakeRepo, path: string, response: ServerResponse): void {
    const file = repo.files.get(path);
    if (file === undefined) return refuse(response, 404, "EntryNotFound", "Entry not found");
    const common = { "X-Repo-Commit": repo.commit, "Accept-Ranges": "bytes" };
    if (!file.lfs) {
      const fault = this.#faultOf(path, undefined);
      if (fault !== undefined && "bytes" in fault) {
        response.writeHead(200, common).end(fault.bytes);
        return;
      }
      response.writeHead(200, { ...common, ETag: `"${gitHash(file.bytes)}"` }).end(file.bytes);
      return;
    }
    const port = (this.#cdn.address() as AddressInfo).port;
    response
      .writeHead(302, {
        ...common,
        Location: `${this.relative ? "/cdn" : `http://localhost:${port}`}/${repo.type}s/${repo.name}/${path}`,
        "X-Linked-Size": file.bytes.length,
        "X-Linked-ETag": `"${sha256(file.bytes)}"`,
      })
      .end();
  }

  #faultOf(path: string, range: string | undefined): ReturnType<Fault> {
    const count = (this.#counts.get(path) ?? 0) + 1;
    this.#counts.set(path, count);
    return this.faults.get(path)?.({ range, count });
  }

  #serve(request: IncomingMessage, response: ServerResponse, given?: string): void {
    const { path: noted, range } = this.#note(request, true);
    const url = given ?? noted;
    const [type, org, name, ...rest] = url.slice(1).split("/");
    const path = rest.join("/");
    const bytes = this.repos.get(`${type}/${org}/${name}`)?.files.get(path)?.bytes;
    if (bytes === undefined) return refuse(response, 404, "", "no such object");
    // A signed address with a token beside it is refused by the real one.
    if (request.headers.authorization !== undefined && given === undefined)
      return refuse(response, 400, "", "two ways to authenticate");
    const fault = this.#faultOf(path, range);
    if (fault !== undefined && "status" in fault) return refuse(response, fault.status, "", "fault");
    if (fault !== undefined && "noAnswer" in fault) {
      response.destroy();
      return;
    }
    const whole = fault !== undefined && "bytes" in fault ? fault.bytes : bytes;
    const asked = fault !== undefined && "ignoreRange" in fault ? undefined : range;
    const [, first = "0", last] = /^bytes=(\d+)-(\d*)$/.exec(asked ?? "") ?? [];
    const start = Number(first);
    if (start > 0 && start >= whole.length) return refuse(response, 416, "", "not satisfiable");
    const part = whole.subarray(
      start,
      last && !(fault && "toTheEnd" in fault) ? Number(last) + 1 : undefined,
    );
    response.writeHead(asked === undefined ? 200 : 206, {
      "Content-Length": part.length,
      ...(asked === undefined
        ? {}
        : { "Content-Range": `bytes ${start}-${start + part.length - 1}/${whole.length}` }),
    });
    if (fault !== undefined && "cutAfter" in fault) {
      // The client gets time to read it: what is still on its way when a connection breaks is lost.
      response.write(part.subarray(0, fault.cutAfter), () => setTimeout(() => response.destroy(), 300));
    } else if (fault !== undefined && "stallAfter" in fault) {
      response.write(part.subarray(0, fault.stallAfter));
    } else {
      response.end(part);
    }
  }
}

export function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export function gitHash(bytes: Buffer): string {
  return createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
}

function json(response: ServerResponse, value: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(200, { "Content-Type": "application/json", ...headers }).end(JSON.stringify(value));
}

function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  response
    .writeHead(status, {
      "Content-Type": "application/json",
      ...(code === "" ? {} : { "X-Error-Code": code }),
      "X-Error-Message": message,
    })
    .end(JSON.stringify({ error: message }));
}
