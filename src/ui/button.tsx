import type { ReactNode } from 'react';

interface ButtonProps {
  look?: 'plain' | 'primary' | 'link';
  /** Unavailable: stays in reach of the keyboard, so that its reason can be read out. */
  unavailable?: boolean;
  /** Id of the element that says why. */
  describedBy?: string | undefined;
  /** The whole name where the text alone does not tell several of the kind apart; starts with the text. */
  label?: string | undefined;
  /** Left out of narrow screens, because it cannot be used yet. */
  later?: boolean;
  onPress: () => void;
  children: ReactNode;
}

/** A push button. */
export function Button({
  look = 'plain',
  unavailable = false,
  describedBy,
  label,
  later = false,
  onPress,
  children,
}: ButtonProps) {
  return (
    <button
      type="button"
      className="button"
      data-look={look}
      data-when={later ? 'later' : 'now'}
      aria-disabled={unavailable}
      aria-label={label}
      aria-describedby={describedBy}
      onClick={unavailable ? undefined : onPress}
    >
      {children}
    </button>
  );
}
