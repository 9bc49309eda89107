// The package as a user gets it: packed, installed in an empty folder, imported, type-checked, and run.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, posix } from "node:path";
import { after, before, describe, test } from "node:test";

import { cacheDir } from "../../src/util/index.ts";
import { environment, root, run } from "../programs.ts";

const timeout = 300_000;

/** The compiler of this version; kept in the cache, as those that test/package/node-versions.test.ts uses. */
function typescript(version: string): string {
  if (version === "7") return join(root, "node_modules", "typescript", "bin", "tsc");
  const folder = join(cacheDir(), "typescripts", version);
  const compiler = join(folder, "node_modules", "typescript", "bin", "tsc");
  if (!existsSync(compiler)) {
    const beside = `${folder}.${process.pid}`;
    mkdirSync(beside, { recursive: true });
    const flags = ["--no-save", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"];
    run("npm", ["install", ...flags, "--prefix", beside, `typescript@${version}`], {
      cwd: beside,
      timeoutMs: timeout,
    });
    rmSync(folder, { recursive: true, force: true });
    renameSync(beside, folder);
  }
  return compiler;
}

const exported = Object.keys(
  (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { exports: object }).exports,
).filter((name) => name !== "./package.json");

describe("the packed package", () => {
  let folder: string;
  let tarball: string;

  before(
    () => {
      folder = mkdtempSync(join(tmpdir(), "torchforge-package-"));
      const packed = run("npm", ["pack", "--json", "--silent", "--pack-destination", folder], {
        timeoutMs: timeout,
      });
      // The build that prepack runs may print before the JSON.
      const report = JSON.parse(packed.slice(packed.search(/^[[{]/m))) as
        | { filename: string }[]
        | Record<string, { filename: string }>;
      tarball = join(folder, Object.values(report)[0]!.filename);
      mkdirSync(join(folder, "app"));
      writeFileSync(
        join(folder, "app", "package.json"),
        '{ "name": "app", "private": true, "type": "module" }\n',
      );
      const flags = ["--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"];
      run("npm", ["install", ...flags, tarball], { cwd: join(folder, "app"), timeoutMs: timeout });
    },
    { timeout },
  );
  after(() => rmSync(folder, { recursive: true }));

  const app = () => join(folder, "app");
  const inApp = (program: string, args: string[]) => run(program, args, { cwd: join(folder, "app") });

  const typeCheckAndBuild = () => {
    const options = {
      compilerOptions: {
        module: "nodenext",
        target: "es2024",
        lib: ["es2024", "esnext.disposable"],
        strict: true,
        skipLibCheck: false,
        types: ["node"],
        typeRoots: [join(root, "node_modules", "@types")],
      },
    };
    writeFileSync(join(folder, "app", "tsconfig.json"), JSON.stringify(options));
    inApp(process.execPath, [join(root, "node_modules", "typescript", "bin", "tsc"), "-p", "."]);
  };

  test("has what it needs and nothing else", { timeout }, () => {
    const files = run("tar", ["-tzf", tarball]).trim().split("\n");
    for (const wanted of [
      "LICENSE",
      "README.md",
      "CHANGELOG.md",
      "bin/torchforge.js",
      "dist/cli/main.js",
      "dist/torch/index.d.ts",
      "native/core/addon.cc",
    ]) {
      assert.ok(files.includes(`package/${wanted}`), wanted);
    }
    assert.deepEqual(
      files.filter((file) => /\.test\.|\/testing\.|^package\/(src|test|scripts|bench|gpu)\//.test(file)),
      [],
    );
  });

  test("what its pages link to is in it", { timeout }, () => {
    const files = run("tar", ["-tzf", tarball]).trim().split("\n");
    const pages = files.filter((file) => file.endsWith(".md"));
    assert.ok(pages.length > 10);
    const textOf = (page: string): string =>
      readFileSync(join(root, page.replace("package/", "")), "utf8").replaceAll(/^```.*?^```/gms, "");
    const anchorsOf = (page: string): string[] =>
      [...textOf(page).matchAll(/^#+ +(.*)$/gm)].map(([, heading]) =>
        heading!
          .toLowerCase()
          .replaceAll(/[^\p{L}\p{N}_ -]/gu, "")
          .replaceAll(" ", "-"),
      );
    for (const page of pages)
      for (const [, link] of textOf(page).matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^[a-z]+:/.test(link!)) continue;
        const [file, anchor] = link!.split("#");
        const target = file === "" ? page : posix.join(posix.dirname(page), file!);
        assert.ok(
          files.some((one) => one === target || one.startsWith(`${target.replace(/\/$/, "")}/`)),
          `${page} links to ${link}, which is not shipped`,
        );
        if (anchor !== undefined && target.endsWith(".md"))
          assert.ok(
            anchorsOf(target).includes(anchor),
            `${page} links to ${link}, which has no such heading`,
          );
      }
  });

  test("npx torchforge and npx forge", { timeout }, () => {
    for (const bin of ["torchforge", "forge"]) {
      const help = inApp("npx", ["--no-install", bin, "--help"]);
      assert.match(help, /^Usage: forge <command>/);
      assert.match(help, /^ {2}doctor /m);
    }
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
    assert.equal(inApp("npx", ["--no-install", "torchforge", "--version"]).trim(), version);
  });

  test("in the repository npx runs the sources, without a build", { timeout }, () => {
    assert.match(run("npx", ["--no-install", "torchforge", "--help"]), /^Usage: forge <command>/);
  });

  test("every export imports, and importing loads nothing native", { timeout }, () => {
    const names = exported.map((name) => `torchforge${name.slice(1)}`);
    const program = `
      for (const name of ${JSON.stringify(names)}) {
        const module = await import(name);
        // It is imported for what it does.
        if (name !== "torchforge/typescript" && Object.keys(module).length === 0) throw new Error(name + " exports nothing");
      }
      const native = process.report.getReport().sharedObjects.filter((file) => file.includes("torch"));
      if (native.length > 0) throw new Error("loaded at import: " + native.join(", "));
    `;
    inApp(process.execPath, ["--input-type=module", "-e", program]);
  });

  test("TypeScript sees its types, and a tensor operation runs", { timeout }, () => {
    const source = `
      import { ones, type Tensor } from "torchforge/torch";
      const six: Tensor = ones([2, 3]).add(ones([3]), { alpha: 2 }).sum();
      const value: number | bigint | boolean = six.item() as number;
      // @ts-expect-error a tensor has no such method
      six.noSuchMethod();
      console.log(value);
    `;
    writeFileSync(
      join(folder, "app", "index.ts"),
      source.replace("six.noSuchMethod();", "if (false) six.noSuchMethod();"),
    );
    typeCheckAndBuild();
    assert.equal(inApp(process.execPath, ["index.js"]).trim(), "18");
  });

  for (const version of ["5.7", "5.9", "6", "7"])
    test(
      `TypeScript ${version}: the declarations need no library, no Node types and no setting`,
      { timeout },
      () => {
        const names = exported.map((name, i) => `export * as m${i} from "torchforge${name.slice(1)}";`);
        const source = `
        import { Config } from "torchforge";
        import { fromArray, type Tensor } from "torchforge/torch";
        const config = Config.create({ model: { hf_assets_path: "./model" } });
        // @ts-expect-error a configuration is read-only
        config.training.steps = 5;
        const ones: Tensor = fromArray([1, 1]);
        // @ts-expect-error types are there, and not any
        ones.noSuchMethod();
      `;
        const folder = join(app(), `types-${version}`);
        mkdirSync(folder, { recursive: true });
        writeFileSync(join(folder, "index.ts"), `${names.join("\n")}\n${source}`);
        for (const skipLibCheck of version === "5.7" ? [false, true] : [false]) {
          const compilerOptions = {
            module: "nodenext",
            target: "es2022",
            strict: true,
            noEmit: true,
            types: [],
            typeRoots: [],
            skipLibCheck,
          };
          writeFileSync(
            join(folder, "tsconfig.json"),
            JSON.stringify({ compilerOptions, files: ["index.ts"] }),
          );
          run(process.execPath, [typescript(version), "-p", folder], { timeoutMs: timeout });
        }
      },
    );

  test("require() of a CommonJS project gives the same as import", { timeout }, () => {
    const file = join(app(), "program.cjs");
    writeFileSync(file, 'console.log(typeof require("torchforge").Config.create)');
    assert.equal(inApp(process.execPath, [file]).trim(), "function");
  });

  test("actors of one's own: compiled to JavaScript, and TypeScript as it is", { timeout }, () => {
    const actor = `
      import { BaseForgeActor } from "torchforge";

      export class Greeter extends BaseForgeActor {
        greetings = 0;
        setup(): void {}
        run(): string {
          return "hello from rank " + this.rank;
        }
        cleanup(): void {}
        greet(name: string): string {
          this.greetings++;
          return "hello " + name;
        }
      }
    `;
    const program = (extension: string) => `
      import { Config, SpawnActor } from "torchforge";
      import { Greeter } from "./greeter.${extension}";

      const config = Config.create({ model: { hf_assets_path: "./model" } });
      await using spawner = new SpawnActor(Greeter, config);
      const actor = await spawner.spawn();
      await spawner.setup();
      const greeting: string = await actor.greet("you");
      const count: number = await actor.greetings;
      console.log([greeting, count, await spawner.run()].join(", "));
    `;
    const expected = "hello you, 1, hello from rank 0";
    const app = join(folder, "app");
    writeFileSync(join(app, "greeter.ts"), actor);
    writeFileSync(join(app, "greet.ts"), program("js"));
    typeCheckAndBuild();
    assert.equal(inApp(process.execPath, ["greet.js"]).trim(), expected);
    for (const name of ["greeter.js", "greet.js"]) rmSync(join(app, name));
    writeFileSync(join(app, "greet.ts"), program("ts"));
    assert.equal(inApp(process.execPath, ["greet.ts"]).trim(), expected);
    for (const name of ["greeter.ts", "greet.ts"]) rmSync(join(app, name));
  });

  test("the README's tensor examples compile and run", { timeout }, () => {
    const blocks = [...readFileSync(join(root, "README.md"), "utf8").matchAll(/```ts\n([\s\S]*?)```/g)]
      .map((match) => match[1]!)
      .filter((block) =>
        [...block.matchAll(/from "([^"]+)"/g)].every((match) => match[1] === "torchforge/torch"),
      );
    assert.ok(blocks.length > 0);
    for (const [i, block] of blocks.entries()) {
      writeFileSync(join(folder, "app", `readme${i}.ts`), block);
      typeCheckAndBuild();
      assert.notEqual(inApp(process.execPath, [`readme${i}.js`]).trim(), "");
    }
  });

  test("publint and attw find nothing", { timeout }, () => {
    const bin = (name: string) => join(root, "node_modules", ".bin", name);
    run(bin("publint"), ["run", tarball, "--strict"], { env: environment });
    run(bin("attw"), [tarball, "--profile", "esm-only", "--no-emoji"], { env: environment });
  });
});
