/** Numbers, days and money in the browser's locale. Days are calendar days: they are read and written as UTC. */
const DAY_MS = 86_400_000;

const locales = (): readonly string[] | undefined => globalThis.navigator?.languages;

const dayShort = new Intl.DateTimeFormat(locales() as string[], { day: "numeric", month: "short", timeZone: "UTC" });
const dayLong = new Intl.DateTimeFormat(locales() as string[], {
  day: "numeric",
  month: "short",
  year: "numeric",
  timeZone: "UTC",
});
const monthShort = new Intl.DateTimeFormat(locales() as string[], { month: "short", timeZone: "UTC" });
const plain = new Intl.NumberFormat(locales() as string[], { maximumFractionDigits: 1 });
const amounts = new Map<string, Intl.NumberFormat>();

/** Amount in a currency; without a code, a number with two digits. */
export function money(amount: number, currency = ""): string {
  let format = amounts.get(currency);
  if (!format) {
    const digits = { minimumFractionDigits: 2, maximumFractionDigits: 2 };
    try {
      format = new Intl.NumberFormat(locales() as string[], currency ? { style: "currency", currency } : digits);
    } catch {
      format = new Intl.NumberFormat(locales() as string[], digits);
    }
    amounts.set(currency, format);
  }
  return format.format(amount);
}

export const number = (value: number): string => plain.format(value);

/** Whole percent from 1 to 99: nothing is certain. */
export function percent(ratio: number): string {
  const whole = Math.min(99, Math.max(1, Math.round(ratio * 100)));
  return new Intl.NumberFormat(locales() as string[], { style: "percent" }).format(whole / 100);
}

/** Whole percent, also 0 and 100 and more, of a share that is known. */
export const share = (ratio: number): string =>
  new Intl.NumberFormat(locales() as string[], { style: "percent", maximumFractionDigits: 0 }).format(ratio);

export const dayOfNumber = (days: number): Date => new Date(days * DAY_MS);
export const dayOfText = (text: string): Date => new Date(`${text}T00:00:00Z`);
export const isoDay = (day: Date): string => day.toISOString().slice(0, 10);
export const addDays = (day: Date, days: number): Date => new Date(day.getTime() + days * DAY_MS);
export const daysBetween = (from: Date, to: Date): number => Math.round((to.getTime() - from.getTime()) / DAY_MS);

/** `3 Dec`. */
export const shortDay = (day: Date): string => dayShort.format(day);
/** `3 Dec 2026`. */
export const longDay = (day: Date): string => dayLong.format(day);

/** `3 Dec, 14:05 CET`, in a time zone; in UTC if the browser does not know the zone. */
export function moment(text: string, timeZone = "UTC"): string {
  return inZone(text, timeZone, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZoneName: "short" });
}

/** `3 Dec 2026`, the day of an instant in a time zone; as `moment`. */
export const longDayIn = (text: string, timeZone = "UTC"): string =>
  inZone(text, timeZone, { day: "numeric", month: "short", year: "numeric" });

function inZone(text: string, timeZone: string, options: Intl.DateTimeFormatOptions): string {
  const instant = new Date(text);
  try {
    return instant.toLocaleString(locales() as string[], { ...options, timeZone: timeZone || "UTC" });
  } catch {
    return instant.toLocaleString(locales() as string[], { ...options, timeZone: "UTC" });
  }
}

/** `Dec`. */
export const shortMonth = (day: Date): string => monthShort.format(day);
/** `14:05:09`, of this machine. */
export const clock = (time: Date): string => time.toLocaleTimeString(locales() as string[]);
