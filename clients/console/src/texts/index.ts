/** The texts of the browser's language, or English. */
import { en, type Texts } from "./en.js";

const LANGUAGES: Readonly<Record<string, Texts>> = { en };

function chosen(): Texts {
  for (const language of globalThis.navigator?.languages ?? []) {
    const found = LANGUAGES[language.split("-")[0] ?? ""];
    if (found) return found;
  }
  return en;
}

export const texts: Texts = chosen();
