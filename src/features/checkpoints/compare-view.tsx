import { useStore } from 'zustand';
import { formatFigure } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';
import { keptStore } from '../../stores/kept-store.ts';
import { Button } from '../../ui/button.tsx';
import { Disclosure } from '../../ui/disclosure.tsx';

const figure = (value: number | null): string => (value === null ? '–' : formatFigure(value));

/** Two checkpoints side by side: figures, settings that differ, and how far the weights are apart. */
export function CompareView() {
  const comparison = useStore(keptStore, (state) => state.comparison);
  if (comparison === null) return null;
  const { names, result } = comparison;
  const [a, b] = names;
  const { total } = result;
  return (
    <section className="kept-details" aria-label={t('kept.compareTitle', { a, b })}>
      <h3>{t('kept.compareTitle', { a, b })}</h3>
      <p>
        {t('compare.total', {
          cosine: figure(total.cosine),
          difference: figure(total.difference),
          norm: figure(total.normA),
        })}
      </p>
      <div className="table-frame">
        <table className="kept-table">
          <thead>
            <tr>
              <th scope="col">{t('compare.what')}</th>
              <th scope="col">{a}</th>
              <th scope="col">{b}</th>
            </tr>
          </thead>
          <tbody>
            {result.metrics.map((row) => (
              <tr key={row.name}>
                <th scope="row">{row.name}</th>
                <td data-label={a}>{figure(row.a)}</td>
                <td data-label={b}>{figure(row.b)}</td>
              </tr>
            ))}
            {result.settings.map((row) => (
              <tr key={row.name}>
                <th scope="row">{row.name}</th>
                <td data-label={a}>{row.a}</td>
                <td data-label={b}>{row.b}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {result.settings.length === 0 ? <p className="small quiet">{t('compare.sameSettings')}</p> : null}
      <Disclosure title={t('compare.tensors')}>
        <div className="table-frame">
          <table className="kept-table">
            <thead>
              <tr>
                <th scope="col">{t('compare.tensor')}</th>
                <th scope="col">{t('compare.normA')}</th>
                <th scope="col">{t('compare.normB')}</th>
                <th scope="col">{t('compare.difference')}</th>
                <th scope="col">{t('compare.cosine')}</th>
              </tr>
            </thead>
            <tbody>
              {result.tensors.map(({ name, normA, normB, difference, cosine }) => (
                <tr key={name}>
                  <th scope="row">{name}</th>
                  <td data-label={t('compare.normA')}>{figure(normA)}</td>
                  <td data-label={t('compare.normB')}>{figure(normB)}</td>
                  <td data-label={t('compare.difference')}>{figure(difference)}</td>
                  <td data-label={t('compare.cosine')}>{figure(cosine)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
        {[...result.onlyA, ...result.onlyB].map((name) => (
          <p className="small" key={name}>
            {t('compare.only', { name })}
          </p>
        ))}
      </Disclosure>
      <div>
        <Button onPress={() => keptStore.setState({ comparison: null })}>{t('kept.less')}</Button>
      </div>
    </section>
  );
}
