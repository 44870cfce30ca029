/** Numbers as people read them. One locale, that of the texts. */
const LOCALE = 'en';

const whole = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat(LOCALE, { notation: 'compact', maximumSignificantDigits: 3 });
const significant = new Intl.NumberFormat(LOCALE, {
  minimumSignificantDigits: 3,
  maximumSignificantDigits: 3,
});
const share = new Intl.NumberFormat(LOCALE, { style: 'percent', maximumFractionDigits: 0 });
const scientific = new Intl.NumberFormat(LOCALE, { notation: 'scientific', maximumSignificantDigits: 3 });

/** `12345` as `12,345`. */
export function formatCount(value: number): string {
  return whole.format(value);
}

/** `3148224` as `3.15M`. */
export function formatCompact(value: number): string {
  return compact.format(value);
}

/** Three significant digits: `0.0123`, `2.64`. */
export function formatFigure(value: number): string {
  return Number.isFinite(value) ? significant.format(value) : String(value);
}

/** A learning rate: short as typed where it can be, else in powers of ten. */
export function formatRate(value: number): string {
  return value === 0 || Math.abs(value) >= 1e-3 ? significant.format(value) : scientific.format(value);
}

/** `0.42` as `42%`. */
export function formatShare(value: number): string {
  return share.format(value);
}

const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB'] as const;

/** `6300000` as `6.3 MB`: powers of a thousand, two significant digits or whole numbers. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < BYTE_UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit > 0 && value < 9.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${BYTE_UNITS[unit]}`;
}

/** `95` seconds as `1 min 35 s`; from an hour on as `2 h 5 min`. */
export function formatDuration(seconds: number): string {
  const total = Math.max(0, Math.round(seconds));
  if (total < 60) return `${total} s`;
  if (total < 3600) return `${Math.floor(total / 60)} min ${total % 60} s`;
  return `${Math.floor(total / 3600)} h ${Math.floor((total % 3600) / 60)} min`;
}

const moment = new Intl.DateTimeFormat(LOCALE, { dateStyle: 'medium', timeStyle: 'short' });

/** An ISO time as `Nov 25, 2026, 9:24 PM`, in the person's own time zone. */
export function formatTime(iso: string): string {
  const time = Date.parse(iso);
  return Number.isNaN(time) ? iso : moment.format(time);
}
