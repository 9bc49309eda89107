// Makes train.jsonl and heldout.jsonl beside this file: short messages in plain English, and the order in each as one
// JSON object. Seeded; `node data/quickstart/make.ts` writes the same bytes every time (a test holds it to that).
// Held-out rows share no name, no item and no phrasing with the training rows.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Random } from "../../src/data/load/random.ts";

/** Short on purpose: rows of some 60 tokens let a CPU show many of them in five minutes. */
export const instruction = "Reply with JSON: name, item, count, day.";

interface Words {
  readonly names: readonly string[];
  /** Items are things, one in three with a kind before it: too many to learn by heart, so the model has to copy. */
  readonly kinds: readonly string[];
  readonly things: readonly string[];
  readonly phrasings: readonly string[];
}

const list = (text: string): string[] => text.trim().split(/\s*,\s*/);
const lines = (text: string): string[] => text.trim().split(/\s*\n\s*/);

const train: Words = {
  names:
    list(`Ada, Ahmed, Alice, Amir, Ana, Anton, Aya, Ben, Bruno, Carla, Chen, Clara, Daniel, David, Diego, Elena,
    Emma, Eva, Farid, Felix, Fiona, George, Grace, Hana, Hugo, Ines, Ivan, Jack, Jane, Julia, Karim, Kate, Laura, Leo,
    Lena, Lucas, Maria, Mark, Maya, Mei, Nadia, Nina, Noah, Olga, Omar, Oscar, Paul, Petra, Priya, Raj, Rosa, Ryan, Sam,
    Sara, Sofia, Tara, Theo, Tom, Vera, Yusuf, Zoe`),
  kinds:
    list(`big, small, blue, red, green, black, white, brown, old, new, cheap, fresh, large, light, long, plain,
    round, short, soft, steel, strong, sweet, thick, thin, warm, wooden, paper, glass, cotton, spare`),
  things:
    list(`apples, bagels, bags, balls, batteries, belts, blankets, books, boots, boxes, brushes, buckets, buttons,
    cables, cakes, candles, cans, caps, cards, chairs, coats, combs, cups, curtains, desks, dishes, dresses, eggs, fans,
    flags, frames, gloves, hammers, hats, jars, keys, knives, ladders, lamps, lemons, loaves, magnets, maps, mats, melons,
    mirrors, mugs, nets, notebooks, oranges, paints, pans, pears, pencils, pens, pies, pipes, pizzas, plants, plates,
    plums, posters, pots, ribbons, rings, ropes, rugs, sacks, salads, scissors, shells, shelves, shirts, socks, stamps,
    stools, stoves, straws, tables, tapes, tents, tickets, tiles, tools, towels, toys, trays, tulips, umbrellas, vases,
    watches, wheels, whistles, windows, wires`),
  phrasings: lines(`
    {name} wants {count} {item} on {day}.
    {name} needs {count} {item} by {day}.
    {name} would like {count} {item} for {day}.
    {name} asked for {count} {item} on {day}.
    {name} ordered {count} {item} for {day}.
    {name} will pick up {count} {item} on {day}.
    Please send {count} {item} to {name} on {day}.
    Please keep {count} {item} for {name} until {day}.
    Can {name} have {count} {item} on {day}?
    Could you bring {name} {count} {item} on {day}?
    On {day}, {name} needs {count} {item}.
    On {day} please give {name} {count} {item}.
    By {day}, {count} {item} for {name}, please.
    For {day}: {count} {item}, name {name}.
    {count} {item} for {name} on {day}, please.
    {count} {item} on {day} for {name}.
    {day} order: {name}, {count} {item}.
    Hi, this is {name}. I want {count} {item} on {day}.
    Hello, {name} here. I need {count} {item} by {day}.
    My name is {name} and I would like {count} {item} on {day}.
    It's {name}, I'll take {count} {item} on {day}.
    I'm {name}. Can I get {count} {item} for {day}?
    I need {count} {item} on {day}. Thanks, {name}
    Could I have {count} {item} by {day}? {name}`),
};

const heldout: Words = {
  names:
    list(`Aisha, Bella, Boris, Cora, Dora, Erik, Flora, Gina, Henry, Irene, Jonas, Kira, Liam, Mona, Nora, Peter,
    Quinn, Rita, Simon, Tina, Victor, Wendy`),
  kinds: list(`orange, pink, grey, tiny, heavy, square, silver, rubber, clean, simple`),
  things:
    list(`bananas, benches, bells, bricks, carrots, clocks, cookies, doors, drums, forks, guitars, jackets, pillows,
    potatoes, radios, scarves, shoes, spoons, suitcases, trucks`),
  phrasings: lines(`
    {name} is asking for {count} {item} on {day}.
    {name} has to get {count} {item} by {day}.
    Put {name} down for {count} {item} on {day}.
    Please deliver {count} {item} to {name} by {day}.
    Hi, {name} speaking. Please send me {count} {item} on {day}.
    We need {count} {item} for {name} on {day}.
    This is {name}, can I order {count} {item} for {day}?
    Reserve {count} {item} for {name}, for {day}.
    I would love {count} {item} by {day}. Best, {name}
    Next {day}, {name} wants {count} {item}.`),
};

const days = list("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday");
const numbers = list("two, three, four, five, six, seven, eight, nine, ten, eleven, twelve");

/** Rows in Alpaca form, no two messages alike. The count is a numeral or a word in the message, a number in the JSON. */
export function makeRows(
  part: "train" | "heldout",
  rows: number,
): { instruction: string; input: string; output: string }[] {
  const words = part === "train" ? train : heldout;
  const random = new Random(part === "train" ? 20_261_122 : 20_261_123);
  const seen = new Set<string>();
  const item = (): string =>
    `${random.below(3) === 0 ? `${random.pick(words.kinds)} ` : ""}${random.pick(words.things)}`;
  const made = [];
  while (made.length < rows) {
    const order = {
      name: random.pick(words.names),
      item: item(),
      count: 2 + random.below(11),
      day: random.pick(days),
    };
    const count = random.below(2) === 0 ? numbers[order.count - 2]! : String(order.count);
    const spoken = random
      .pick(words.phrasings)
      .replace(/\{(\w+)\}/g, (_, key: string) =>
        key === "count" ? count : String(order[key as keyof typeof order]),
      );
    const input = spoken[0]!.toUpperCase() + spoken.slice(1);
    if (seen.has(input)) continue;
    seen.add(input);
    made.push({ instruction, input, output: JSON.stringify(order) });
  }
  return made;
}

/** The two files' names and contents. */
export function makeFiles(): Record<string, string> {
  const text = (rows: object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
  return { "train.jsonl": text(makeRows("train", 1500)), "heldout.jsonl": text(makeRows("heldout", 100)) };
}

if (process.argv[1] === import.meta.filename) {
  for (const [name, text] of Object.entries(makeFiles()))
    writeFileSync(join(import.meta.dirname, name), text);
}
