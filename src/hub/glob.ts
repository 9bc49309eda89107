// Patterns of paths: those of data sets' READMEs and of --ignore-patterns. A pattern may come from anyone, so it is no RegExp,
// which some would make run for ever: all ways to read a path are followed at once, character by character.

/** Whether a path fits the pattern, as a whole. */
export type Glob = (path: string) => boolean;

type Test = (char: string) => boolean;

interface State {
  readonly steps: { readonly test: Test; readonly to: State }[];
  /** Where one is, too, without a character. */
  readonly also: State[];
}

const any: Test = () => true;
const noSlash: Test = (char) => char !== "/";

/** `*` doesn't match slashes, `**` does; `{a,b}` and `[0-9]` as in a shell. */
export function pathGlob(pattern: string): Glob {
  return matcherOf((from) => addPath(from, pattern.replace(/^\.\//, "")));
}

/** Like Python's fnmatch: `*` also matches slashes. */
export function nameGlob(pattern: string): Glob {
  return matcherOf((from) =>
    tokensOf(pattern, /\*|\?|\[!?[^][^\]]*\]|[^]/gu).reduce((state, token) => {
      if (token === "*") return addLoop(state, any);
      return addStep(state, token === "?" ? any : testOf(token));
    }, from),
  );
}

function addPath(from: State, pattern: string): State {
  return tokensOf(pattern, /\*\*\/|\*\*|\*|\?|\[[^\]]*\]|\{[^}]*\}|[^]/gu).reduce((state, token) => {
    if (token === "**/") {
      const end = addStep(addLoop(state, any), (char) => char === "/");
      state.also.push(end); // no folder at all
      return end;
    }
    if (token === "**") return addLoop(state, any);
    if (token === "*") return addLoop(state, noSlash);
    if (token === "?") return addStep(state, noSlash);
    if (token.length < 3 || !token.startsWith("{")) return addStep(state, testOf(token));
    const end = newState();
    for (const choice of token.slice(1, -1).split(",")) {
      const begin = newState();
      state.also.push(begin);
      addPath(begin, choice).also.push(end);
    }
    return end;
  }, from);
}

const newState = (): State => ({ steps: [], also: [] });

const tokensOf = (pattern: string, tokens: RegExp): string[] => pattern.match(tokens) ?? [];

function addStep(from: State, test: Test): State {
  const to = newState();
  from.steps.push({ test, to });
  return to;
}

function addLoop(from: State, test: Test): State {
  const loop = newState();
  from.also.push(loop);
  loop.steps.push({ test, to: loop });
  return loop;
}

/** Of one character, or of a class of them; a range that is upside down (`[z-a]`) has none. */
function testOf(token: string): Test {
  if (!/^\[[^]*\]$/.test(token)) return (char) => char === token;
  const isNegated = /^\[[!^]/.test(token);
  const inside = token.slice(isNegated ? 2 : 1, -1);
  const ranges = [...inside.matchAll(/([^])(?:-([^]))?/gu)].map(
    ([, from, to = from]) => [from!.codePointAt(0)!, to!.codePointAt(0)!] as const,
  );
  return (char) => {
    const code = char.codePointAt(0)!;
    const isIn = ranges.some(([from, to]) => from <= code && code <= to);
    return isIn !== isNegated;
  };
}

function matcherOf(add: (from: State) => State): Glob {
  const begin = newState();
  const end = add(begin);
  return (path) => {
    let states = withOthers([begin]);
    for (const char of path) {
      const next = [...states].flatMap(({ steps }) => steps.filter(({ test }) => test(char)));
      states = withOthers(next.map(({ to }) => to));
      if (states.size === 0) return false;
    }
    return states.has(end);
  };
}

/** A set grows while it is gone through. */
function withOthers(states: readonly State[]): Set<State> {
  const all = new Set(states);
  for (const { also } of all) for (const state of also) all.add(state);
  return all;
}
