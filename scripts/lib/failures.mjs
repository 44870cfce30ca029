// What failed, named again at the end of a run: a log of thousands of lines is often read by its tail alone.
import { relative } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { ROOT } from './paths.mjs';

/** Lines of an error that are said again: the message, the values, the place. */
const ERROR_LINES = 15;
/** Failures that are named; a run in which all fails shows why with the first of them. */
const NAMED = 20;

/** @typedef {{ name: string, status: string, message?: string, assertionResults: Array<{ status: string, fullName: string, failureMessages?: string[] }> }} VitestFile */
/** @typedef {{ title: string, ok: boolean, file: string, tests: Array<{ results: Array<{ status: string, errors?: Array<{ message?: string }> }> }> }} PlaywrightSpec */
/** @typedef {{ specs?: PlaywrightSpec[], suites?: PlaywrightSuite[] }} PlaywrightSuite */

/**
 * @param {string} title
 * @param {string} error
 */
function entry(title, error) {
  const lines = stripVTControlCharacters(error).trimEnd().split('\n').slice(0, ERROR_LINES);
  return [title, ...lines.map((line) => `    ${line}`)].join('\n');
}

/**
 * The failed tests of a vitest report, with the files that could not be loaded.
 * @param {{ testResults: VitestFile[] } | null} report
 * @returns {string[]}
 */
export function vitestFailures(report) {
  return (report?.testResults ?? []).flatMap(({ name, status, message, assertionResults }) => {
    const path = relative(ROOT, name);
    const failed = assertionResults.filter((result) => result.status === 'failed');
    if (status === 'failed' && failed.length === 0) return [entry(path, message ?? '')];
    return failed.map((result) =>
      entry(`${path} > ${result.fullName}`, (result.failureMessages ?? []).join('\n')),
    );
  });
}

/**
 * The failed specs of a Playwright report; one that passed on a repetition is among them.
 * @param {{ suites: PlaywrightSuite[], errors?: Array<{ message?: string }> } | null} report
 * @returns {string[]}
 */
export function playwrightFailures(report) {
  /** @param {PlaywrightSuite} suite @returns {PlaywrightSpec[]} */
  const specsOf = (suite) => [...(suite.specs ?? []), ...(suite.suites ?? []).flatMap(specsOf)];
  const results = (report?.suites ?? []).flatMap(specsOf).map(({ title, file, tests }) => ({
    title: `${file} > ${title}`,
    errors: tests.flatMap((test) => test.results.flatMap(({ errors }) => errors ?? [])),
  }));
  const failed = results
    .filter(({ errors }) => errors.length > 0)
    .map(({ title, errors }) => entry(title, errors.map(({ message }) => message ?? '').join('\n')));
  return [...failed, ...(report?.errors ?? []).map(({ message }) => entry('e2e', message ?? ''))];
}

/**
 * The words for the end of a run.
 * @param {string[]} failures
 * @returns {string[]} no line where nothing failed
 */
export function failureLines(failures) {
  if (failures.length === 0) return [];
  const more = failures.length > NAMED ? [`... and ${String(failures.length - NAMED)} more`] : [];
  return ['', '=== What failed', ...failures.slice(0, NAMED), ...more, ''];
}
