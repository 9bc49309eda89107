// Imported before anything else: an old Node gets a sentence, where it would fail somewhere for want of a function.

const [needed, found] = ["22.3.0", process.versions.node ?? "none"].map((text) =>
  text.split(".").map(Number),
);

if (found![0]! < needed![0]! || (found![0] === needed![0] && found![1]! < needed![1]!)) {
  const error = new Error(`torchforge needs Node 22.3 or later, found ${process.versions.node}.`);
  error.stack = error.message; // where it was thrown doesn't matter
  throw error;
}
