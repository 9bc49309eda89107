// Downloads from a hub of our own: where files end up, what goes on after a break, and what each failure says.
import assert from "node:assert/strict";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import { download } from "../../src/hub/index.ts";
import { request } from "../../src/hub/network.ts";
import { gitHash, sha256 } from "./server.ts";
import { inSetting, tinyModel } from "./setting.ts";
import { FakeHub } from "./server.ts";

const name = "org/tiny";
const limit = { timeout: 30_000 };

function folderOf(home: string): string {
  return join(home, "hub", "models--org--tiny");
}

void test("a model lies in the cache as Python's huggingface_hub lays it out", limit, async () => {
  await inSetting(async ({ hub, home }) => {
    const repo = hub.add("model", name, tinyModel());
    const done = await download(name);
    const root = folderOf(home);
    assert.equal(done.folder, join(root, "snapshots", repo.commit));
    assert.equal(readFileSync(join(root, "refs", "main"), "utf8"), repo.commit);
    const weights = repo.files.get("model.safetensors")!.bytes;
    const config = repo.files.get("config.json")!.bytes;
    assert.deepEqual(
      readdirSync(join(root, "blobs")).sort(),
      ["config.json", "tokenizer.json", "README.md"]
        .map((path) => gitHash(repo.files.get(path)!.bytes))
        .concat(sha256(weights))
        .sort(),
    );
    assert.equal(readlinkSync(join(done.folder, "config.json")), `../../blobs/${gitHash(config)}`);
    assert.deepEqual(readFileSync(join(done.folder, "model.safetensors")), weights);
    // Weights in other formats are left out, and named.
    assert.deepEqual(done.skipped.map((file) => file.path).sort(), [
      "original/consolidated.00.pth",
      "pytorch_model.bin",
    ]);
    assert.ok(!existsSync(join(done.folder, "pytorch_model.bin")));
  });
});

void test("what is there is not downloaded again", limit, async () => {
  await inSetting(async ({ hub }) => {
    const repo = hub.add("model", name, tinyModel());
    assert.equal((await download(name)).fetchedFiles, 4);
    hub.log.length = 0;
    assert.equal((await download(name)).fetchedFiles, 0);
    assert.deepEqual(
      hub.log.filter((entry) => !entry.path.startsWith("/api/")),
      [],
    );
    // Another commit with the same weights: only what changed.
    repo.commit = "f".repeat(40);
    repo.files.set("config.json", { bytes: Buffer.from("{}"), lfs: false });
    const again = await download(name);
    assert.equal(again.fetchedFiles, 1);
    assert.equal(readFileSync(join(again.folder, "config.json"), "utf8"), "{}");
    assert.ok(existsSync(join(again.folder, "model.safetensors")));
  });
});

void test("a download that broke goes on within the same run", limit, async () => {
  await inSetting(async ({ hub }) => {
    const repo = hub.add("model", name, tinyModel());
    hub.faults.set("model.safetensors", ({ count }) => (count <= 3 ? { cutAfter: 70_000 } : undefined));
    const done = await download(name);
    const weights = repo.files.get("model.safetensors")!.bytes;
    assert.deepEqual(readFileSync(join(done.folder, "model.safetensors")), weights);
    const ranges = hub.log.filter((entry) => entry.cdn).map((entry) => entry.range);
    assert.equal(ranges[0], undefined);
    assert.equal(ranges.length, 4);
    for (const range of ranges.slice(1)) assert.match(range ?? "", /^bytes=[1-9]\d*-$/);
  });
});

void test("a download that failed goes on in the next run", limit, async () => {
  await inSetting(async ({ hub, home }) => {
    const repo = hub.add("model", name, tinyModel());
    const weights = repo.files.get("model.safetensors")!.bytes;
    hub.faults.set("model.safetensors", ({ count }) =>
      count === 1 ? { cutAfter: 100_000 } : { status: 404 },
    );
    await assert.rejects(download(name), { name: "UserError" });
    const partial = join(folderOf(home), "blobs", `${sha256(weights)}.incomplete`);
    // A connection that breaks may lose the last of what was sent.
    const { size } = lstatSync(partial);
    assert.ok(size > 0 && size <= 100_000, String(size));
    assert.ok(!existsSync(join(folderOf(home), "refs", "main"))); // nobody takes it for complete

    hub.faults.clear();
    hub.log.length = 0;
    const done = await download(name);
    assert.deepEqual(
      hub.log.filter((entry) => entry.cdn).map((entry) => entry.range),
      [`bytes=${size}-`],
    );
    assert.deepEqual(readFileSync(join(done.folder, "model.safetensors")), weights);
    assert.ok(!existsSync(partial));
  });
});

void test("a server that knows no ranges sends all of it", limit, async () => {
  await inSetting(async ({ hub }) => {
    const repo = hub.add("model", name, tinyModel());
    hub.faults.set("model.safetensors", ({ count }) =>
      count === 1 ? { cutAfter: 50_000 } : { ignoreRange: true },
    );
    const done = await download(name);
    assert.deepEqual(
      readFileSync(join(done.folder, "model.safetensors")),
      repo.files.get("model.safetensors")!.bytes,
    );
  });
});

void test("a connection that stands still is given up and opened again", limit, async () => {
  await inSetting(async ({ hub }) => {
    process.env["HF_HUB_DOWNLOAD_TIMEOUT"] = "0.3";
    const repo = hub.add("model", name, tinyModel());
    hub.faults.set("model.safetensors", ({ count }) => (count === 1 ? { stallAfter: 50_000 } : undefined));
    const done = await download(name);
    assert.deepEqual(
      readFileSync(join(done.folder, "model.safetensors")),
      repo.files.get("model.safetensors")!.bytes,
    );
  });
});

void test("a damaged partial file is found out by its hash and replaced", limit, async () => {
  await inSetting(async ({ hub, home }) => {
    const repo = hub.add("model", name, tinyModel());
    const weights = repo.files.get("model.safetensors")!.bytes;
    const blobs = join(folderOf(home), "blobs");
    mkdirSync(blobs, { recursive: true });
    writeFileSync(join(blobs, `${sha256(weights)}.incomplete`), Buffer.alloc(1000, 7));
    const done = await download(name);
    assert.deepEqual(readFileSync(join(done.folder, "model.safetensors")), weights);
  });
});

void test("bytes that aren't what the hub promised are never accepted", limit, async () => {
  for (const path of ["model.safetensors", "config.json"]) {
    await inSetting(async ({ hub, home }) => {
      const repo = hub.add("model", name, tinyModel());
      const { length } = repo.files.get(path)!.bytes;
      hub.faults.set(path, () => ({ bytes: Buffer.alloc(length, 9) }));
      await assert.rejects(download(name), {
        name: "UserError",
        message: new RegExp(`org/tiny: ${path} arrived damaged twice`),
      });
      assert.ok(!existsSync(join(folderOf(home), "snapshots", repo.commit, path)));
    });
  }
});

void test("a connection that brings nothing ends with advice", limit, async () => {
  await inSetting(async ({ hub }) => {
    hub.add("model", name, tinyModel());
    hub.faults.set("model.safetensors", () => ({ cutAfter: 0 }));
    await assert.rejects(download(name), {
      name: "UserError",
      message:
        /the download of model\.safetensors broke off .* Run the same command again to go on from there\./s,
    });
  });
});

void test("the token goes to the hub and not to its CDN", limit, async () => {
  await inSetting(async ({ hub }) => {
    hub.add("model", name, tinyModel()).token = "hf_right";
    process.env["HF_TOKEN"] = "hf_right";
    await download(name);
    assert.ok(hub.log.filter((entry) => !entry.cdn).every((entry) => entry.token === "hf_right"));
    assert.ok(hub.log.filter((entry) => entry.cdn).every((entry) => entry.token === undefined));
  });
});

void test(
  "the token never leaves the hub that was asked, whatever address its listing names",
  limit,
  async () => {
    await inSetting(async ({ hub }) => {
      const seen: (string | undefined)[] = [];
      const stranger = createServer((request, response) => {
        seen.push(request.headers.authorization);
        response.writeHead(200, { "Content-Type": "application/json" }).end("[]");
      });
      await new Promise<void>((resolve) => stranger.listen(0, "127.0.0.1", resolve));
      try {
        hub.add("model", name, tinyModel()).token = "hf_right";
        hub.nextPagesAt = `http://127.0.0.1:${(stranger.address() as AddressInfo).port}`;
        process.env["HF_TOKEN"] = "hf_right";
        const { files } = await download(name);
        assert.deepEqual(seen, []);
        assert.equal(files.length, 4); // of both pages: a mirror may name the pages of the hub that it copies
        const client = {
          endpoint: hub.url,
          token: "hf_right",
          tokenFrom: "HF_TOKEN",
          answerMs: 4000,
          stallMs: 4000,
        };
        const subject = { repo: { type: "model", name }, revision: "main" } as const;
        await request(client, hub.nextPagesAt, subject);
        assert.deepEqual(seen, [undefined]);
      } finally {
        stranger.closeAllConnections();
        stranger.close();
      }
    });
  },
);

void test("redirects: within the hub, to another one without the token, and in a circle", limit, async () => {
  await inSetting(async ({ hub }) => {
    hub.add("model", "org/tiny", tinyModel());
    hub.relative = true;
    const { folder } = await download("org/tiny", { token: "hf_secret" });
    assert.equal(readFileSync(join(folder, "model.safetensors")).length, 300_000);
  });
  await inSetting(async ({ hub }) => {
    await using other = await FakeHub.start();
    other.add("model", "org/tiny", tinyModel());
    hub.sentTo = other.url;
    const { files } = await download("org/tiny", { token: "hf_secret" });
    assert.ok(files.length > 0);
    assert.ok(hub.log.every(({ token }) => token === "hf_secret"));
    assert.ok(other.log.length > 0 && other.log.every(({ token }) => token === undefined));
  });
  await inSetting(async ({ hub }) => {
    hub.sentTo = hub.url;
    await assert.rejects(download("org/tiny"), {
      name: "UserError",
      message: `${hub.url} sends /api/models/org/tiny/revision/main from one address to another without end. Check HF_ENDPOINT, or use the hub itself.`,
    });
  });
});

void test("a mirror without hashes, and one that lists what it hasn't, are told", limit, async () => {
  await inSetting(async ({ hub }) => {
    hub.add("model", "org/tiny", tinyModel());
    hub.withoutHashes = true;
    await assert.rejects(download("org/tiny"), {
      name: "UserError",
      message:
        /: expected a hash of config\.json in org\/tiny, found none, .* Use the hub itself or a mirror that gives hashes \(HF_ENDPOINT\)/,
    });
    hub.withoutHashes = false;
    hub.faults.set("model.safetensors", () => ({ status: 404 }));
    await assert.rejects(download("org/tiny"), { name: "UserError", message: /org\/tiny/ });
  });
});

void test("no error repeats the token", limit, async () => {
  await inSetting(async ({ hub }) => {
    hub.add("model", name, tinyModel());
    hub.apiStatus = [{ status: 400, headers: { "X-Error-Message": "what is hf_secret?" } }];
    await assert.rejects(download(name, { token: "hf_secret" }), (error: Error) => {
      assert.match(error.message, /^The hub answered 400 for the model org\/tiny: what is \*\*\*\?/);
      return !inspect(error, { depth: 9 }).includes("hf_secret");
    });
    process.env["HF_TOKEN"] = "hf_secret\u2026";
    await assert.rejects(download(name), (error: Error) => {
      assert.match(error.message, /^The token from HF_TOKEN has characters that no token has/);
      return error.name === "UserError" && !inspect(error, { depth: 9 }).includes("hf_secret");
    });
  });
});

void test("a repository that was renamed is found by its old name, with the token", limit, async () => {
  await inSetting(async ({ hub }) => {
    hub.add("model", "org/new", tinyModel()).token = "hf_right";
    hub.moved.set(name, "org/new");
    const { folder } = await download(name, { token: "hf_right" });
    assert.ok(readFileSync(join(folder, "model.safetensors")).length > 0);
  });
});

void test("a stored token is found, an explicit one wins", limit, async () => {
  await inSetting(async ({ hub, home }) => {
    hub.add("model", name, tinyModel()).token = "hf_right";
    writeFileSync(join(home, "token"), "hf_right\n");
    await download(name);
    rmSync(join(home, "hub"), { recursive: true });
    writeFileSync(join(home, "token"), "hf_other\n");
    await download(name, { token: "hf_right" });
  });
});

void test("a gated repository", limit, async () => {
  await inSetting(async ({ hub }) => {
    const repo = hub.add("model", name, tinyModel());
    repo.gated = true;
    repo.token = "hf_right";
    await assert.rejects(download(name), {
      name: "UserError",
      message:
        `The model org/tiny is gated: its owner asks you to accept conditions. Open ${hub.url}/org/tiny, ask for access, and use a token of that account. ` +
        "No token was given. Give a token with --hf-token, HF_TOKEN or `hf auth login`.",
    });
    process.env["HF_TOKEN"] = "hf_stranger";
    await assert.rejects(download(name), { message: /is gated.*The token from HF_TOKEN has no access\./ });
  });
});

void test("a missing repository, revision and token", limit, async () => {
  await inSetting(async ({ hub }) => {
    await assert.rejects(download("org/absent"), {
      name: "UserError",
      message:
        `There is no model org/absent on ${hub.url}, or it is private. Check its name. No token was given. ` +
        "Give a token with --hf-token, HF_TOKEN or `hf auth login`.",
    });
    hub.add("model", name, tinyModel());
    await assert.rejects(download(name, { revision: "v9" }), {
      name: "UserError",
      message: `The model org/tiny has no revision v9. Its branches and tags are listed at ${hub.url}/org/tiny.`,
    });
    await assert.rejects(download(name, { token: "hf_wrong" }), {
      name: "UserError",
      message:
        "The hub refuses the token from --hf-token: it is wrong, or has expired. Give a token with --hf-token, HF_TOKEN or `hf auth login`.",
    });
  });
});

void test("names and revisions that would lead elsewhere are refused before any request", limit, async () => {
  await inSetting(async ({ hub }) => {
    for (const bad of ["../x/y", "a/b/c", "a/..", "", "a b/c", "a--b/c"]) {
      await assert.rejects(download(bad), {
        name: "UserError",
        exitCode: 2,
        message: /Expected a repository of the hub as org\/name/,
      });
    }
    for (const bad of ["../main", "a/../../b", "", "-x"]) {
      await assert.rejects(download(name, { revision: bad }), {
        name: "UserError",
        message: /Expected a revision/,
      });
    }
    assert.equal(hub.log.length, 0);
  });
});

void test("a repository can't write outside its folder", limit, async () => {
  for (const path of ["../../evil.json", "a/../../evil.json", "/etc/evil.json"]) {
    await inSetting(async ({ hub }) => {
      hub.add("model", name, { ...tinyModel(), [path]: "{}" });
      await assert.rejects(download(name), {
        name: "UserError",
        message: /holds a file with the path .*; refused/,
      });
    });
  }
});

void test("no network is said at once", limit, async () => {
  await inSetting(async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    process.env["HF_ENDPOINT"] = `http://127.0.0.1:${port}/`;
    const started = performance.now();
    await assert.rejects(download(name), {
      name: "HubUnreachableError",
      message: new RegExp(
        `^http://127\\.0\\.0\\.1:${port} cannot be reached \\(ECONNREFUSED\\)\\. Check the network or HF_ENDPOINT`,
      ),
    });
    assert.ok(performance.now() - started < 3000);
  });
});

void test("a hub that never answers is given up in time", limit, async () => {
  await inSetting(async () => {
    const server = createServer(() => {});
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    process.env["HF_ENDPOINT"] = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    process.env["HF_HUB_ETAG_TIMEOUT"] = "0.5";
    try {
      await assert.rejects(download(name), {
        name: "HubUnreachableError",
        message: /no answer within 0\.5 s/,
      });
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});

void test("HF_HUB_OFFLINE makes no request", limit, async () => {
  await inSetting(async ({ hub }) => {
    process.env["HF_HUB_OFFLINE"] = "1";
    await assert.rejects(download(name), {
      name: "UserError",
      message: /org\/tiny: HF_HUB_OFFLINE forbids the network\./,
    });
    assert.equal(hub.log.length, 0);
  });
});

void test("a hub that is busy is asked again", limit, async () => {
  await inSetting(async ({ hub }) => {
    hub.add("model", name, tinyModel());
    hub.apiStatus = [503, 429];
    await download(name);
    hub.apiStatus = [500, 500, 500];
    await assert.rejects(download(name), {
      name: "UserError",
      message: /The hub answered 500 for the model org\/tiny: no luck/,
    });
  });
});

void test("a hub that says when it will be free is asked then", limit, async () => {
  await inSetting(async ({ hub }) => {
    hub.add("model", name, tinyModel());
    const limited = (headers: Record<string, string>) => ({ status: 429, headers });
    const policy = { "RateLimit-Policy": '"fixed window";"api";q=500;w=300' };
    hub.apiStatus = [
      limited({ RateLimit: '"api";r=0;t=1', ...policy }),
      limited({ "Retry-After": "1" }),
      limited({ RateLimit: '"api";r=0;t=1' }), // more often than a busy hub is asked
    ];
    await download(name);
    assert.deepEqual(hub.apiStatus, []);
    hub.apiStatus = [limited({ RateLimit: '"api";r=0;t=4000' })];
    await assert.rejects(download(name), {
      message: /^The hub is limiting requests \(429\)\. Wait 4000 s; with a token the limit is higher\./,
    });
  });
});

void test("--output-dir gets plain files and huggingface_hub's record of them", limit, async () => {
  await inSetting(async ({ hub, home }) => {
    const repo = hub.add("model", name, tinyModel());
    const folder = join(home, "out");
    const done = await download(name, { outputDir: folder, ignorePatterns: ["*.bin", "README*"] });
    assert.equal(done.folder, folder);
    assert.deepEqual(readdirSync(folder).sort(), [
      ".cache",
      "config.json",
      "model.safetensors",
      "original",
      "tokenizer.json",
    ]);
    assert.ok(lstatSync(join(folder, "model.safetensors")).isFile());
    const record = readFileSync(
      join(folder, ".cache/huggingface/download/model.safetensors.metadata"),
      "utf8",
    ).split("\n");
    assert.deepEqual(record.slice(0, 2), [repo.commit, sha256(repo.files.get("model.safetensors")!.bytes)]);
    assert.ok(!existsSync(join(home, "hub", "models--org--tiny")));

    // A file that was changed or cut is fetched again, whole ones are not.
    writeFileSync(join(folder, "config.json"), "changed");
    assert.equal(
      (await download(name, { outputDir: folder, ignorePatterns: ["*.bin", "README*"] })).fetchedFiles,
      1,
    );
    assert.deepEqual(readFileSync(join(folder, "config.json")), repo.files.get("config.json")!.bytes);
  });
});

void test("--output-dir that is a file", limit, async () => {
  await inSetting(async ({ hub, home }) => {
    hub.add("model", name, tinyModel());
    const path = join(home, "file");
    writeFileSync(path, "");
    await assert.rejects(download(name, { outputDir: path }), {
      name: "UserError",
      exitCode: 2,
      message: `--output-dir: expected a folder, found a file: ${path}`,
    });
  });
});

void test("a disk that is too small is noticed before the first byte", limit, async () => {
  await inSetting(async ({ hub, home }) => {
    const repo = hub.add("model", name, tinyModel());
    repo.files.set("model.safetensors", { bytes: Buffer.from("x"), lfs: true, announced: 4e15 });
    await assert.rejects(download(name), {
      name: "UserError",
      message: new RegExp(
        `^${home}/hub/models--org--tiny/snapshots/[0-9a-f]+: expected 4000000\\.00 GB of free disk for the download, found [\\d.]+ GB\\. Free some, or use another disk`,
      ),
    });
    assert.ok(hub.log.every((entry) => entry.path.startsWith("/api/")));
  });
});

void test("a disk that fills up while downloading", limit, async () => {
  await inSetting(async ({ hub, home }) => {
    const repo = hub.add("model", name, tinyModel());
    const blobs = join(folderOf(home), "blobs");
    mkdirSync(blobs, { recursive: true });
    const etag = sha256(repo.files.get("model.safetensors")!.bytes);
    symlinkSync("/dev/full", join(blobs, `${etag}.incomplete`));
    await assert.rejects(download(name), {
      name: "UserError",
      message:
        /^No space left on the disk for model\.safetensors \(300000 bytes\) in .*\.incomplete\. Free some, then run the same command again/,
    });
  });
});

void test("a cache that can't be written", limit, async () => {
  await inSetting(async ({ hub, home }) => {
    hub.add("model", name, tinyModel());
    writeFileSync(join(home, "hub"), "a file, where the cache should be");
    await assert.rejects(download(name), {
      name: "UserError",
      message:
        /expected a folder that can be written, found (ENOTDIR|EEXIST) at .*Use another one \(--output-dir, or HF_HOME for the cache\)\./,
    });
  });
});

void test("progress adds up and never passes the whole", limit, async () => {
  await inSetting(async ({ hub }) => {
    hub.add("model", name, tinyModel());
    hub.faults.set("model.safetensors", ({ count }) => (count === 1 ? { cutAfter: 50_000 } : undefined));
    const seen: number[] = [];
    let last: { doneBytes: number; totalBytes: number; doneFiles: number; totalFiles: number } | undefined;
    await download(name, {
      onProgress(progress) {
        assert.ok(progress.doneBytes <= progress.totalBytes);
        seen.push(progress.doneBytes);
        last = progress;
      },
    });
    assert.ok(seen.length >= 4);
    assert.equal(last?.doneBytes, last?.totalBytes);
    assert.deepEqual([last?.doneFiles, last?.totalFiles], [4, 4]);
  });
});

void test("two downloads of one model at a time give one whole model", limit, async () => {
  await inSetting(async ({ hub, home }) => {
    const repo = hub.add("model", name, tinyModel());
    const [one, two] = await Promise.all([download(name), download(name)]);
    assert.equal(one.folder, two.folder);
    assert.deepEqual(
      readFileSync(join(one.folder, "model.safetensors")),
      repo.files.get("model.safetensors")!.bytes,
    );
    assert.equal(hub.log.filter((entry) => entry.cdn).length, 1); // the second waited for the first
    assert.deepEqual(
      readdirSync(join(folderOf(home), "blobs")).filter((file) => file.includes("incomplete")),
      [],
    );
  });
});

void test("a download can be stopped, and goes on later", limit, async () => {
  await inSetting(async ({ hub }) => {
    hub.add("model", name, tinyModel());
    hub.faults.set("model.safetensors", ({ count }) => (count === 1 ? { stallAfter: 60_000 } : undefined));
    const stop = new AbortController();
    const running = download(name, {
      signal: stop.signal,
      onProgress: ({ file, doneBytes }) => {
        if (file === "model.safetensors" && doneBytes >= 60_000) stop.abort(new Error("stopped by the test"));
      },
    });
    await assert.rejects(running, /stopped by the test/);
    hub.log.length = 0;
    await download(name);
    assert.match(hub.log.find((entry) => entry.cdn)?.range ?? "", /^bytes=\d+-$/);
  });
});
