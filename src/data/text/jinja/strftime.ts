// Python's strftime for the C locale, in local time. A directive that isn't here is refused.
import { UnsupportedError } from "./errors.ts";

const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const months = "January February March April May June July August September October November December".split(
  " ",
);

const dayOfYear = (date: Date): number =>
  Math.round(
    (Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - Date.UTC(date.getFullYear(), 0, 0)) /
      86_400_000,
  );

interface Directive {
  readonly text: string;
  /** Digits that it is filled up to, and by what. */
  readonly width?: number;
  readonly fill?: string;
}

const number = (value: number, width = 2, fill = "0"): Directive => ({ text: String(value), width, fill });

function directive(date: Date, letter: string): Directive | undefined {
  const nested = (format: string): Directive => ({ text: strftime(date, format) });
  switch (letter) {
    case "Y":
      return { text: String(date.getFullYear()) };
    case "C":
      return number(Math.floor(date.getFullYear() / 100));
    case "y":
      return number(date.getFullYear() % 100);
    case "m":
      return number(date.getMonth() + 1);
    case "d":
      return number(date.getDate());
    case "e":
      return number(date.getDate(), 2, " ");
    case "j":
      return number(dayOfYear(date), 3);
    case "B":
      return { text: months[date.getMonth()]! };
    case "b":
    case "h":
      return { text: months[date.getMonth()]!.slice(0, 3) };
    case "A":
      return { text: days[date.getDay()]! };
    case "a":
      return { text: days[date.getDay()]!.slice(0, 3) };
    case "w":
      return { text: String(date.getDay()) };
    case "u":
      return { text: String(date.getDay() || 7) };
    case "U":
      return number(Math.floor((dayOfYear(date) + 6 - date.getDay()) / 7));
    case "W":
      return number(Math.floor((dayOfYear(date) + 6 - ((date.getDay() + 6) % 7)) / 7));
    case "H":
      return number(date.getHours());
    case "k":
      return number(date.getHours(), 2, " ");
    case "I":
      return number(date.getHours() % 12 || 12);
    case "l":
      return number(date.getHours() % 12 || 12, 2, " ");
    case "M":
      return number(date.getMinutes());
    case "S":
      return number(date.getSeconds());
    case "f":
      return { text: String(date.getMilliseconds() * 1000).padStart(6, "0") };
    case "s":
      return { text: String(Math.floor(date.getTime() / 1000)) };
    case "p":
      return { text: date.getHours() < 12 ? "AM" : "PM" };
    case "P":
      return { text: date.getHours() < 12 ? "am" : "pm" };
    case "Z":
    case "z":
      return { text: "" }; // Python's now() knows no time zone
    case "D":
    case "x":
      return nested("%m/%d/%y");
    case "F":
      return nested("%Y-%m-%d");
    case "T":
    case "X":
      return nested("%H:%M:%S");
    case "R":
      return nested("%H:%M");
    case "r":
      return nested("%I:%M:%S %p");
    case "c":
      return nested("%a %b %e %H:%M:%S %Y");
    case "n":
      return { text: "\n" };
    case "t":
      return { text: "\t" };
    case "%":
      return { text: "%" };
    default:
      return undefined;
  }
}

/** date.strftime(format). Flags as glibc has them: `%-d` without padding, `%_d` with spaces, `%0e` with zeros, `%^a` in capitals. */
export function strftime(date: Date, format: string): string {
  return format.replace(/%([-_0^#]?)([^])?/g, (whole, flag: string, letter: string | undefined) => {
    const found = letter === undefined ? undefined : directive(date, letter);
    if (found === undefined || flag === "#") throw new UnsupportedError(`"${whole}" in strftime`);
    const fill = flag === "-" ? "" : flag === "_" ? " " : flag === "0" ? "0" : found.fill;
    const text = fill === undefined || fill === "" ? found.text : found.text.padStart(found.width ?? 0, fill);
    return flag === "^" ? text.toUpperCase() : text;
  });
}
