import { t } from '../i18n/index.ts';

interface TokenRowProps {
  pieces: readonly { text: string; trained: boolean }[];
}

/** Line ends are part of what a model reads, so they are shown. */
function visible(text: string): string {
  return text.replaceAll('\n', '↵\n');
}

/** One row of the data as the training sees it: trained text solid and bold, the rest hatched and dim. */
export function TokenRow({ pieces }: TokenRowProps) {
  return (
    <li className="token-row" dir="auto">
      {pieces.map(({ text, trained }, index) => {
        const Tag = trained ? 'mark' : 'span';
        return (
          <Tag key={index} className="token" data-trained={trained}>
            {visible(text)}
          </Tag>
        );
      })}
    </li>
  );
}

/** What the two looks of a token mean. */
export function TokenLegend() {
  return (
    <p className="legend">
      <span className="token" data-trained="true">
        {t('preview.trained')}
      </span>
      <span className="token" data-trained="false">
        {t('preview.untrained')}
      </span>
    </p>
  );
}
