// IPython's magics (`!ls`, `%time`) are no TypeScript: what a cell that has one is told, with the TypeScript that does the same.

interface Instead {
  readonly what: string;
  /** A cell that runs as it is. */
  readonly code: string;
}

/** @param rest what follows the magic's name in its line */
const magics: Readonly<Record<string, (rest: string) => Instead>> = {
  time: (rest) => timed(rest),
  timeit: (rest) => timed(rest),
  cd: (rest) => ({ what: "To change the folder", code: `process.chdir(${JSON.stringify(rest || "..")})` }),
  pwd: () => ({ what: "For the folder", code: "process.cwd()" }),
  env: (rest) => {
    const [, name, value] = /^(\w+)[ =]+(.*)$/.exec(rest) ?? [];
    if (name === undefined) return { what: "For the environment", code: "process.env" };
    return {
      what: "To set a variable",
      code: `process.env[${JSON.stringify(name)}] = ${JSON.stringify(value)}`,
    };
  },
  pip: (rest) => shell(`pip ${rest}`),
  npm: (rest) => shell(`npm ${rest}`),
};

function timed(rest: string): Instead {
  return {
    what: "To measure time",
    code: `console.time("cell"); ${rest || "/* … */"}; console.timeEnd("cell")`,
  };
}

function shell(command: string): Instead {
  return {
    what: "To run a program",
    code: `import { execSync } from "node:child_process";\nconsole.log(execSync(${JSON.stringify(command.trim())}, { encoding: "utf8" }))`,
  };
}

/**
 * What to say of a line that begins with a magic, such as `!ls -l`: that it is IPython's, and how a program is run in
 * TypeScript. Undefined where it doesn't.
 */
export function magicHint(line: string): string | undefined {
  const [, sign, name = "", rest = ""] = /^\s*(!{1,2}|%{1,2})\s*([a-z_]\w*)\s*(.*)$/i.exec(line) ?? [];
  if (sign === undefined) return undefined;
  const ofName = Object.hasOwn(magics, name) ? magics[name]?.(rest) : undefined;
  const instead = sign.startsWith("!") ? shell(`${name} ${rest}`) : ofName;
  const said = `\`${line.trim()}\` is IPython's, and cells are TypeScript.`;
  return instead === undefined ? said : `${said} ${instead.what}:\n${instead.code}`;
}

/** As magicHint, for `!ls`: TypeScript reads it as "not ls", so the error is that `ls` isn't defined. */
export function shellHint(error: unknown, code: string): string | undefined {
  if (!(error instanceof Error) || error.name !== "ReferenceError") return undefined;
  const name = /^(\S+) is not defined$/.exec(error.message)?.[1];
  if (name === undefined) return undefined;
  const line = code
    .split("\n")
    .find((text) => text.startsWith(`!${name}`) && !/[\w$.(]/.test(text.charAt(name.length + 1)));
  return line === undefined ? undefined : magicHint(line);
}
