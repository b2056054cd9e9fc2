// The colors of style/tokens.css: contrast, and how far series are apart for the color-blind.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const css = readFileSync(new URL("../../src/style/tokens.css", import.meta.url), "utf8");

function tokens(selector: string): Record<string, string> {
  const block = css.split(`${selector} {`)[1]?.split("}")[0] ?? "";
  return Object.fromEntries([...block.matchAll(/--([\w-]+): (#\w{6})/g)].map(([, name, color]) => [name, color]));
}

type Rgb = [number, number, number];
const linear = (color: string): Rgb =>
  [1, 3, 5].map((at) => {
    const value = parseInt(color.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  }) as Rgb;
const luminance = ([red, green, blue]: Rgb): number => 0.2126 * red + 0.7152 * green + 0.0722 * blue;

function contrast(one: string, other: string): number {
  const [dark = 0, light = 0] = [luminance(linear(one)), luminance(linear(other))].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

// Machado, Oliveira, Fernandes 2009, severity 1, in linear RGB.
const SEEN_BY: Record<string, number[][]> = {
  all: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  protanopes: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
  deuteranopes: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
};

/** Distance in Oklab, times 100. */
function distance(one: string, other: string, seen: number[][]): number {
  const [a, b] = [one, other].map((color) => {
    const rgb = linear(color);
    const [r = 0, g = 0, bl = 0] = seen.map((row) => Math.max(0, row.reduce((sum, weight, at) => sum + weight * (rgb[at] ?? 0), 0)));
    const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * bl);
    const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * bl);
    const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * bl);
    return [
      0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
      1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
      0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
    ];
  });
  return 100 * Math.hypot(...a!.map((value, at) => value - b![at]!));
}

test.each([[":root"], [':root[data-theme="dark"]']])("colors of %s can be read and told apart", (selector) => {
  const color = tokens(selector);
  for (const text of ["ink", "soft", "accent", "bad", "saves", "same", "convenience"]) {
    for (const surface of ["page", "panel"]) {
      expect(contrast(color[text]!, color[surface]!), `${text} on ${surface}`).toBeGreaterThanOrEqual(4.5);
    }
  }
  expect(contrast(color["warn"]!, color["warn-panel"]!)).toBeGreaterThanOrEqual(4.5);
  expect(contrast(color["on-accent"]!, color["accent"]!)).toBeGreaterThanOrEqual(4.5);
  expect(contrast(color["control"]!, color["page"]!)).toBeGreaterThanOrEqual(3);
  const series = [1, 2, 3, 4, 5].map((number) => color[`series-${number}`]!);
  for (const one of series) {
    expect(contrast(one, color["page"]!), one).toBeGreaterThanOrEqual(2.9);
    for (const other of series) {
      if (one === other) continue;
      for (const [who, seen] of Object.entries(SEEN_BY)) {
        expect(distance(one, other, seen), `${one} and ${other} for ${who}`).toBeGreaterThanOrEqual(8);
      }
    }
  }
});
