import type { ReactNode } from 'react';

interface StatsProps {
  look?: 'stats' | 'figures';
  items: readonly { label: string; value: ReactNode }[];
}

/** Named figures. */
export function Stats({ look = 'stats', items }: StatsProps) {
  return (
    <dl className={look}>
      {items.map(({ label, value }) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
