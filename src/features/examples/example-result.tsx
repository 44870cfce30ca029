import type { ExampleKind, ExampleOutcome } from '../../../workers/examples-api.ts';
import { formatCount, formatShare } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';

const RESULTS = { reward: 'examples.rewardResult', preference: 'examples.preferenceResult' } as const;

/** What an example has reached, and what it answered before and after. */
export function ExampleResult({ kind, outcome }: { kind: ExampleKind; outcome: ExampleOutcome }) {
  const { before, after, seconds, answers, path } = outcome;
  return (
    <div className="group" aria-live="polite">
      <p className="notice">
        {t(RESULTS[kind], {
          before: formatShare(before),
          after: formatShare(after),
          seconds: formatCount(Math.round(seconds)),
        })}{' '}
        {path === null ? null : t('examples.keep')}
      </p>
      <div className="table-frame">
        <table className="kept-table">
          <thead>
            <tr>
              <th scope="col">{t('samples.prompt')}</th>
              <th scope="col">{t('examples.before')}</th>
              <th scope="col">{t('examples.after')}</th>
            </tr>
          </thead>
          <tbody>
            {answers.map((answer) => (
              <tr key={answer.question}>
                <th scope="row">{answer.question}</th>
                <td data-label={t('examples.before')}>{answer.before}</td>
                <td data-label={t('examples.after')}>{answer.after}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}
