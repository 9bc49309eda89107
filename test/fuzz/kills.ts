// Ranks of a run killed at random, again and again; see ../parallel/soak.ts. A round is four kills, compared with a run that
// nothing happened to.
import { soak } from "../parallel/soak.ts";
import type { Part } from "./part.ts";

const perRound = 4;

export const kills: Part = {
  unit: "kills",
  async run({ seed, goesOn, note }) {
    const lost: string[] = [];
    let made = 0;
    for (let round = seed; goesOn(made); round++) {
      try {
        await soak(perRound, round, note);
      } catch (error) {
        lost.push(`npm run soak -- kills --count ${perRound} --seed ${round}: ${String(error)}`);
      }
      made += perRound;
    }
    return { made, lost };
  },
};
