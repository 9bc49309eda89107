// Imported before anything else: an old Node gets a sentence, where it would fail somewhere for want of a function. Our sources, as
// the repository runs them, say `using`, which Node knows since 24; the published JavaScript is compiled for earlier ones, too.
const fromSources = import.meta.url.endsWith(".ts");
const needed = fromSources ? [24, 0] : [22, 3];
const found = (process.versions.node ?? "none").split(".").map(Number);

if (found[0]! < needed[0]! || (found[0] === needed[0] && found[1]! < needed[1]!)) {
  const where = fromSources ? " in its repository, where node_modules/.bin/node is one" : "";
  const error = new Error(
    `torchforge needs Node ${needed.join(".")} or later${where}, found ${process.versions.node}.`,
  );
  error.stack = error.message; // where it was thrown doesn't matter
  throw error;
}
