/** Python's strftime in the C locale, for chat templates that print the date. */

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];

/** Formats a date in local time; codes that templates do not use stay as they are. */
export function strftime(date: Date, format: string): string {
  const day = DAYS[date.getDay()] ?? '';
  const month = MONTHS[date.getMonth()] ?? '';
  const midnight = (year: number, ...rest: [number, number]): number => Date.UTC(year, ...rest);
  const dayOfYear =
    (midnight(date.getFullYear(), date.getMonth(), date.getDate()) - midnight(date.getFullYear(), 0, 0)) /
    86_400_000;
  const numbers: Record<string, [value: number, width: number]> = {
    Y: [date.getFullYear(), 4],
    y: [date.getFullYear() % 100, 2],
    m: [date.getMonth() + 1, 2],
    d: [date.getDate(), 2],
    H: [date.getHours(), 2],
    I: [date.getHours() % 12 || 12, 2],
    M: [date.getMinutes(), 2],
    S: [date.getSeconds(), 2],
    j: [dayOfYear, 3],
  };
  const words: Record<string, string> = {
    A: day,
    a: day.slice(0, 3),
    B: month,
    b: month.slice(0, 3),
    p: date.getHours() < 12 ? 'AM' : 'PM',
    '%': '%',
  };
  // `%-d` is glibc's way to leave out the leading zeros.
  return format.replace(/%(-?)([A-Za-z%])/g, (all, dash: string, code: string) => {
    const number = numbers[code];
    if (number !== undefined) return String(number[0]).padStart(dash ? 1 : number[1], '0');
    return words[code] ?? all;
  });
}
