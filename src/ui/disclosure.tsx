import { type ReactNode, useState } from 'react';

interface DisclosureProps {
  title: string;
  children: ReactNode;
}

/** Something that is there when asked for; its content is made only then. */
export function Disclosure({ title, children }: DisclosureProps) {
  const [open, setOpen] = useState(false);
  return (
    <details className="disclosure" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{title}</summary>
      {open ? <div className="disclosure-body">{children}</div> : null}
    </details>
  );
}
