/** Plain text: one row per paragraph. Paragraphs are separated by blank lines; line breaks inside them are kept. */
import { lengthProblem, type DataLimits, type RawRow } from './limits.ts';

/** The paragraphs of a text as rows `{"text"}`. */
export function readText(text: string, limits: DataLimits): RawRow[] {
  const rows: RawRow[] = [];
  let paragraph: string[] = [];
  let first = 1;
  const endParagraph = (): void => {
    if (paragraph.length === 0) return;
    const value = paragraph.join('\n');
    const problem = lengthProblem(value.length, limits);
    rows.push(problem === undefined ? { line: first, value: { text: value } } : { line: first, problem });
    paragraph = [];
  };
  for (const [i, line] of text.split(/\r\n|\r|\n/).entries()) {
    if (line.trim() === '') endParagraph();
    else {
      if (paragraph.length === 0) first = i + 1;
      paragraph.push(line);
    }
  }
  endParagraph();
  return rows;
}
