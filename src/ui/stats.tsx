import type { ReactNode } from 'react';

interface StatsProps {
  look?: 'stats' | 'figures';
  /** A wide one has room for words. */
  items: readonly { label: string; value: ReactNode; wide?: true }[];
}

/** Named figures. */
export function Stats({ look = 'stats', items }: StatsProps) {
  return (
    <dl className={look}>
      {items.map(({ label, value, wide }) => (
        <div key={label} data-wide={wide}>
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
